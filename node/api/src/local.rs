//! The local socket between `thunder-cli` and `thunderd`, found by the node's port alone.
//!
//! On Unix a socket in a directory that only its owner can enter (mode 0700); on Windows a named
//! pipe that only its owner can open. Nobody else on the machine can talk to the node.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{ListenerOptions, Name};
use tarpc::serde_transport::{self, Transport};
use tarpc::tokio_serde::formats::Json;
use tarpc::tokio_util::codec::LengthDelimitedCodec;

use crate::{ApiError, Code, ThunderClient};

/// The largest request or answer, in bytes.
const MAX_FRAME: usize = 16 << 20;
/// How long connecting to a socket may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How many calls of one client may be under way.
const MAX_IN_FLIGHT: usize = 1 << 16;

/// Messages over one connection.
pub type Wire<Item, SinkItem> = Transport<Stream, Item, SinkItem, Json<Item, SinkItem>>;

/// Frames a connection.
pub fn transport<Item, SinkItem>(stream: Stream) -> Wire<Item, SinkItem>
where
    Item: for<'de> serde::Deserialize<'de>,
    SinkItem: serde::Serialize,
{
    let mut codec = LengthDelimitedCodec::builder();
    serde_transport::new(codec.max_frame_length(MAX_FRAME).new_framed(stream), Json::default())
}

/// Connects to the node on `port`.
pub async fn connect(port: u16) -> Result<ThunderClient, ApiError> {
    let mut last = ListenError::Io { place: String::new(), source: io::ErrorKind::NotFound.into() };
    for place in places(port) {
        match reach(&place).await {
            Ok(stream) => {
                let mut config = tarpc::client::Config::default();
                config.max_in_flight_requests = MAX_IN_FLIGHT;
                config.pending_request_buffer = MAX_IN_FLIGHT;
                return Ok(ThunderClient::new(config, transport(stream)).spawn());
            }
            Err(error) if use_of(&error) >= use_of(&last) => last = error,
            Err(_) => {}
        }
    }
    let why = match &last {
        ListenError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    if is_port_taken(port) {
        let free = port.checked_add(1).unwrap_or(2001);
        return Err(ApiError::new(
            Code::NoDaemon,
            format!(
                "no thunderd of this user answers on port {port} ({why}), and something else has the port"
            ),
            format!(
                "if it is another user's node, name yours with --port, or start one on another port: thunderd --port {free}"
            ),
        ));
    }
    Err(ApiError::new(
        Code::NoDaemon,
        format!("no thunderd answers on port {port} ({why})"),
        format!("start one with: thunderd --port {port}   (or name another with --port)"),
    ))
}

/// Whether somebody listens on the TCP port of a node.
fn is_port_taken(port: u16) -> bool {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// How much an error tells somebody who finds no node.
fn use_of(error: &ListenError) -> u8 {
    match error {
        ListenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => 0,
        ListenError::Io { .. } | ListenError::InUse(_) | ListenError::NotPrivate { .. } => 1,
        ListenError::TooLong { .. } => 2,
    }
}

/// Connects to a socket that nobody else could have made: secrets go over it.
async fn reach(place: &Place) -> Result<Stream, ListenError> {
    let failed = |source| ListenError::Io { place: place.to_string(), source };
    place.check_length()?;
    if !place.is_private() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    let connecting = tokio::time::timeout(CONNECT_WITHIN, Stream::connect(place.name().map_err(failed)?));
    connecting.await.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)
}

/// Why the local socket can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another thunderd answers there.
    #[error("another thunderd is running on port {0}")]
    InUse(u16),
    /// The directory belongs to somebody else, or is open to others.
    #[error("{path} is not a directory that only you can enter; remove it or set XDG_RUNTIME_DIR")]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system takes no path of this length for a socket.
    #[error(
        "the path of the local socket {place} has {length} bytes, and the system allows {limit}; \
         set XDG_RUNTIME_DIR to a directory with a shorter path"
    )]
    TooLong {
        /// The socket.
        place: String,
        /// The length of its path, in bytes.
        length: usize,
        /// The greatest length, in bytes.
        limit: usize,
    },
    /// The operating system refuses.
    #[error("can't open the local socket {place}: {source}")]
    Io {
        /// The socket.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// A local socket that is listened to.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub listener: Listener,
    /// Its name, for people.
    pub place: String,
    /// Why it is not at a place where it would be looked for earlier.
    pub passed_over: Vec<ListenError>,
}

/// Opens the socket of the node on `port`, at the first place where that is safe. What an earlier node left behind is
/// cleared away; one that still answers is not.
pub async fn listen(port: u16) -> Result<Listening, ListenError> {
    listen_at(port, places(port)).await
}

async fn listen_at(port: u16, places: Vec<Place>) -> Result<Listening, ListenError> {
    for place in &places {
        if reach(place).await.is_ok() {
            return Err(ListenError::InUse(port));
        }
    }
    let mut passed_over = Vec::new();
    for place in places {
        match open(&place) {
            Ok(listener) => return Ok(Listening { listener, place: place.to_string(), passed_over }),
            Err(error) => passed_over.push(error),
        }
    }
    let nowhere = || ListenError::Io { place: String::new(), source: io::ErrorKind::NotFound.into() };
    Err(passed_over.into_iter().next().unwrap_or_else(nowhere))
}

fn open(place: &Place) -> Result<Listener, ListenError> {
    let failed = |source| ListenError::Io { place: place.to_string(), source };
    place.check_length()?;
    place.prepare()?;
    let options = ListenerOptions::new().name(place.name().map_err(failed)?);
    private(options).map_err(failed)?.create_tokio().map_err(failed)
}

#[cfg(unix)]
pub use unix::is_permitted;
#[cfg(unix)]
use unix::{Place, places, private};
#[cfg(windows)]
pub use windows::is_permitted;
#[cfg(windows)]
use windows::{Place, places, private};

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    use std::path::Path;

    use interprocess::local_socket::GenericFilePath;

    use super::*;

    /// A socket file.
    pub(super) struct Place(pub(super) PathBuf);

    /// The longest path of a socket, in bytes (`sun_path` without its end).
    const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

    /// Where the socket may be, best first: the session's runtime directory; a directory among the temporary ones, whose
    /// name another user may have taken; and one in the home directory, where nobody else can take a name. A client
    /// looks everywhere, so that a daemon started in another environment is found.
    pub(super) fn places(port: u16) -> Vec<Place> {
        let user = rustix::process::getuid().as_raw();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|directory| is_own(directory, user, 0));
        let runtime = runtime.map(|directory| directory.join("thunder"));
        let temporary =
            [std::env::temp_dir(), PathBuf::from("/tmp")].map(|at| at.join(format!("thunder-{user}")));
        let home = std::env::home_dir().filter(|directory| is_own(directory, user, 0o022));
        let home = home.map(|directory| directory.join(".thunder"));
        let mut directories: Vec<_> = runtime.into_iter().chain(temporary).chain(home).collect();
        directories.dedup();
        directories.into_iter().map(|directory| Place(directory.join(format!("{port}.sock")))).collect()
    }

    /// Whether it is a directory of this user's that grants none of the permissions `denied`.
    fn is_own(directory: &Path, user: u32, denied: u32) -> bool {
        let metadata = fs::metadata(directory);
        metadata.is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & denied == 0)
    }

    impl Place {
        pub(super) fn name(&self) -> io::Result<Name<'_>> {
            self.0.as_path().to_fs_name::<GenericFilePath>()
        }

        pub(super) fn check_length(&self) -> Result<(), ListenError> {
            let length = self.0.as_os_str().len();
            if length <= MAX_PATH {
                return Ok(());
            }
            Err(ListenError::TooLong { place: self.to_string(), length, limit: MAX_PATH })
        }

        /// Whether the directory is there and only its owner, who is this user, can enter it.
        pub(super) fn is_private(&self) -> bool {
            let Some(metadata) = self.0.parent().and_then(|directory| fs::symlink_metadata(directory).ok())
            else {
                return false;
            };
            let own = metadata.is_dir() && metadata.uid() == rustix::process::getuid().as_raw();
            own && metadata.permissions().mode() & 0o077 == 0
        }

        /// Makes the directory, and makes sure that only its owner can enter it.
        pub(super) fn prepare(&self) -> Result<(), ListenError> {
            let Some(directory) = self.0.parent() else { return Ok(()) };
            let failed = |source| ListenError::Io { place: self.to_string(), source };
            match fs::DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
            if !self.is_private() {
                return Err(ListenError::NotPrivate { path: directory.into() });
            }
            match fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            }
        }
    }

    impl std::fmt::Display for Place {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.display().fmt(f)
        }
    }

    /// Whether whoever has connected is this user, or root, who needs no permission. A second line of
    /// defence: nobody else gets to the socket.
    pub fn is_permitted(stream: &Stream) -> bool {
        let user = stream.peer_creds().ok().and_then(|creds| creds.euid());
        user.is_some_and(|user| user == 0 || user == rustix::process::geteuid().as_raw())
    }

    /// The directory keeps others out.
    pub(super) fn private(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
        Ok(options)
    }
}

#[cfg(windows)]
mod windows {
    use interprocess::local_socket::GenericNamespaced;
    use interprocess::os::windows::local_socket::ListenerOptionsExt;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;

    use super::*;

    /// A named pipe.
    pub(super) struct Place(String);

    pub(super) fn places(port: u16) -> Vec<Place> {
        let user = std::env::var("USERNAME").unwrap_or_default();
        vec![Place(format!("thunder-{user}-{port}"))]
    }

    /// Whether whoever has connected is this user: the pipe's descriptor has seen to it.
    pub fn is_permitted(_: &Stream) -> bool {
        true
    }

    impl Place {
        pub(super) fn name(&self) -> io::Result<Name<'_>> {
            self.0.as_str().to_ns_name::<GenericNamespaced>()
        }

        /// The name of a pipe may be longer than that of any user.
        pub(super) fn check_length(&self) -> Result<(), ListenError> {
            Ok(())
        }

        /// The pipe's descriptor keeps others out.
        pub(super) fn is_private(&self) -> bool {
            true
        }

        pub(super) fn prepare(&self) -> Result<(), ListenError> {
            Ok(())
        }
    }

    impl std::fmt::Display for Place {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, r"\\.\pipe\{}", self.0)
        }
    }

    /// Full access for the pipe's owner, none for anybody else (SDDL, "owner rights").
    pub(super) fn private(options: ListenerOptions<'_>) -> io::Result<ListenerOptions<'_>> {
        let descriptor = SecurityDescriptor::deserialize(widestring::u16cstr!("D:P(A;;GA;;;OW)"))?;
        Ok(options.security_descriptor(descriptor))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn at(directory: &Path) -> Place {
        Place(directory.join("1.sock"))
    }

    #[test]
    fn a_place_that_somebody_else_has_taken_is_passed_over_and_the_next_is_found() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let [elsewhere, taken, open, missing, own] =
            ["elsewhere", "taken", "open", "missing/deeper", "own"].map(|name| home.path().join(name));
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, &taken).unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        let long = home.path().join("x".repeat(120));
        let places = || [&taken, &open, &missing, &long, &own].map(|directory| at(directory)).into();
        run(async {
            let listening = listen_at(1, places()).await.unwrap();
            assert_eq!(listening.place, at(&own).to_string());
            let why: Vec<_> = listening.passed_over.iter().map(ToString::to_string).collect();
            assert_eq!(why.len(), 4, "{why:?}");
            assert!(why[0].contains("taken is not a directory that only you can enter"), "{why:?}");
            assert!(why[1].contains("open is not a directory that only you can enter"), "{why:?}");
            assert!(why[2].contains("missing/deeper/1.sock"), "{why:?}");
            let length = long.as_os_str().len() + "/1.sock".len();
            assert!(why[3].contains(&format!("has {length} bytes, and the system allows 10")), "{why:?}");
            assert!(why[3].contains("XDG_RUNTIME_DIR"), "{why:?}");
            let again = listen_at(1, places()).await;
            assert!(matches!(again, Err(ListenError::InUse(1))), "it is found there");
        });
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing was put there");
        assert!(!home.path().join("missing").exists());
    }

    #[test]
    fn with_no_safe_place_the_first_is_named() {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let long = home.path().join("x".repeat(120));
        let refused = run(listen_at(1, vec![at(&long), at(&home.path().join("missing/deeper"))]));
        assert!(matches!(refused, Err(ListenError::TooLong { .. })), "{refused:?}");
    }
}
