//! The local socket between `thunder-cli` and `thunderd`, found by the node's port alone.
//!
//! On Unix a socket in a directory that only its owner can enter (mode 0700); on Windows a named
//! pipe that only its owner can open. Nobody else on the machine can talk to the node.

use std::io;
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
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    // A directory that somebody else could have made is not asked: secrets go over this socket.
    for place in places(port).iter().filter(|place| place.is_private()) {
        match tokio::time::timeout(Duration::from_secs(5), Stream::connect(place.name()?)).await {
            Ok(Ok(stream)) => {
                let mut config = tarpc::client::Config::default();
                config.max_in_flight_requests = MAX_IN_FLIGHT;
                config.pending_request_buffer = MAX_IN_FLIGHT;
                return Ok(ThunderClient::new(config, transport(stream)).spawn());
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ApiError::new(
        Code::NoDaemon,
        format!("no thunderd answers on port {port} ({last})"),
        format!("start one with: thunderd --port {port}   (or name another with --port)"),
    ))
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
    /// The operating system refuses.
    #[error("can't open the local socket {place}: {source}")]
    Io {
        /// The socket.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// Opens the socket of the node on `port`. What an earlier node left behind is cleared away; one
/// that still answers is not.
pub async fn listen(port: u16) -> Result<Listener, ListenError> {
    for place in places(port) {
        if place.is_private()
            && let Ok(name) = place.name()
            && Stream::connect(name).await.is_ok()
        {
            return Err(ListenError::InUse(port));
        }
    }
    let Some(place) = places(port).into_iter().next() else {
        return Err(ListenError::Io { place: String::new(), source: io::ErrorKind::NotFound.into() });
    };
    place.prepare()?;
    let failed = |source| ListenError::Io { place: place.to_string(), source };
    let options = ListenerOptions::new().name(place.name().map_err(|error| failed(io::Error::other(error)))?);
    private(options).map_err(failed)?.create_tokio().map_err(failed)
}

/// The socket's name, for people.
pub fn describe(port: u16) -> String {
    places(port).first().map(ToString::to_string).unwrap_or_default()
}

#[cfg(unix)]
pub use unix::is_permitted;
#[cfg(unix)]
use unix::{places, private};
#[cfg(windows)]
pub use windows::is_permitted;
#[cfg(windows)]
use windows::{places, private};

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    use interprocess::local_socket::GenericFilePath;

    use super::*;

    /// A socket file.
    pub(super) struct Place(PathBuf);

    /// Where the socket may be, best first: the session's runtime directory, or a directory of
    /// one's own among the temporary ones. A client looks everywhere, so that a daemon started in
    /// another environment is found.
    pub(super) fn places(port: u16) -> Vec<Place> {
        let user = rustix::process::getuid().as_raw();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime =
            runtime.filter(|directory| is_own(directory, user)).map(|directory| directory.join("thunder"));
        let temporary =
            [std::env::temp_dir(), PathBuf::from("/tmp")].map(|at| at.join(format!("thunder-{user}")));
        let mut directories: Vec<_> = runtime.into_iter().chain(temporary).collect();
        directories.dedup();
        directories.into_iter().map(|directory| Place(directory.join(format!("{port}.sock")))).collect()
    }

    fn is_own(directory: &std::path::Path, user: u32) -> bool {
        fs::metadata(directory).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user)
    }

    impl Place {
        pub(super) fn name(&self) -> Result<Name<'_>, ApiError> {
            self.0.as_path().to_fs_name::<GenericFilePath>().map_err(|error| {
                ApiError::new(
                    Code::Internal,
                    format!("{self}: {error}"),
                    "set XDG_RUNTIME_DIR to a shorter path",
                )
            })
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
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
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
        pub(super) fn name(&self) -> Result<Name<'_>, ApiError> {
            self.0.as_str().to_ns_name::<GenericNamespaced>().map_err(|error| {
                ApiError::new(Code::Internal, format!("{self}: {error}"), "check the USERNAME variable")
            })
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
