//! Who can reach the local socket, and what stays unseen: keys, seed phrases, passwords.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thunder_protocol::hex;

use super::harness::*;

/// A phrase without a word twice in a row, of BIP-39's test vectors.
const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn socket(node: &Node) -> PathBuf {
    node.home().join("thunder").join(format!("{}.sock", node.port))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Does something as another user of the machine, which takes root. Only this thread becomes another.
#[cfg(target_os = "linux")]
fn as_another_user<T: Send>(act: impl FnOnce() -> T + Send) -> Option<T> {
    use rustix::thread::set_thread_res_uid;
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tried: to act as another user takes root");
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(NOBODY);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
            act()
        });
        Some(thread.join().unwrap())
    })
}

#[cfg(target_os = "linux")]
#[test]
fn other_users_can_not_reach_the_socket_and_are_sent_away_if_they_do() {
    let world = World::bare();
    let node = world.node();
    let socket = socket(&node);
    let directory = socket.parent().unwrap();
    assert_eq!(mode(directory), 0o700);
    // With every other door open, the directory keeps them out.
    set_mode(node.home(), 0o755);
    set_mode(&socket, 0o777);
    let Some(refused) = as_another_user(|| UnixStream::connect(&socket).map(drop)) else { return };
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    // With that one open, too, thunderd looks at who it is.
    set_mode(directory, 0o755);
    let said = as_another_user(|| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).map(|_| said)
    });
    assert_eq!(said.unwrap().unwrap(), b"", "the connection is closed without a word");
    wait_for("it is in the log", || node.has_logged("another user of this machine"));
    // Its own user does not trust such a directory; a private one works as before.
    node.refused(&["infos"], 3, "no_daemon");
    set_mode(directory, 0o700);
    node.infos();
}

#[test]
fn a_socket_directory_that_is_not_ones_own_alone_is_passed_over() {
    let world = World::bare();
    let mut node = world.node();
    node.kill();
    let directory = node.home().join("thunder");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut goes_elsewhere = || {
        node.forget_log();
        node.start();
        node.infos();
        let said = "the local socket is not where it is looked for first";
        wait_for(said, || node.has_logged(said) && node.has_logged(directory.to_str().unwrap()));
        node.kill();
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was put there");
    };
    fs::remove_dir_all(&directory).unwrap();
    symlink(elsewhere.path(), &directory).unwrap();
    goes_elsewhere();
    fs::remove_file(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o750);
    goes_elsewhere();
    set_mode(&directory, 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&directory, Some(NOBODY), None).unwrap();
        goes_elsewhere();
        std::os::unix::fs::chown(&directory, Some(0), None).unwrap();
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing was put there");
    node.forget_log();
    node.start();
    node.infos();
    assert!(!node.has_logged("the local socket"), "{}", node.log());
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_named_with_the_limit_and_another_is_taken() {
    let world = World::bare();
    let mut node = world.node();
    node.kill();
    let long = node.home().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let (shown, limit) =
        (long.to_str().unwrap().to_owned(), if cfg!(target_os = "linux") { 107 } else { 103 });
    let says_so = |said: &str| {
        said.contains(&shown)
            && said.contains(&format!("the system allows {limit}"))
            && said.contains("XDG_RUNTIME_DIR")
    };
    let infos = |node: &Node| node.cli().arg("infos").env("XDG_RUNTIME_DIR", &long).output().unwrap();
    let nobody = infos(&node);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(says_so(&text(&nobody.stderr)), "{}", text(&nobody.stderr));
    node.runtime_directory(&long);
    node.start();
    wait_for("it says so", || says_so(&node.log()));
    assert!(infos(&node).status.success());
}

#[test]
fn a_second_thunderd_is_refused_and_the_first_goes_on() {
    let world = World::bare();
    let node = world.node();
    let output = node.thunderd().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--port"), "{}", text(&output.stderr));
    // By another name, and on another port.
    let mut other = world.node();
    other.kill();
    fs::remove_dir_all(other.data.path()).unwrap();
    symlink(node.data.path(), other.data.path()).unwrap();
    let output = other.thunderd().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("another thunderd is using the data directory"), "{error}");
    fs::remove_file(other.data.path()).unwrap();
    other.start();
    assert_eq!(mode(other.data.path()), 0o700, "a data directory that it makes is its user's alone");
    node.infos();
}

const COULD_READ: &str = "other users could read the data directory or keys in it";

#[test]
fn a_data_directory_that_others_could_read_is_closed_to_them_and_that_is_said() {
    let world = World::bare();
    let mut node = world.node();
    node.ok(&["importwallet", PHRASE]);
    assert!(!node.has_logged(COULD_READ));
    let files =
        ["thunder.db", "thunder.db-wal", "node.key", "wallet.json", "wallet.password", "thunderd.lock"];
    let modes = |node: &Node| {
        let mut modes = vec![mode(node.data.path())];
        modes.extend(files.iter().map(|name| mode(&node.data.path().join(name))));
        modes
    };
    let private = [&[0o700][..], &[0o600; 6]].concat();
    assert_eq!(modes(&node), private);
    // As another program has left it, while the node is down and its log not folded.
    node.kill();
    for (directory, files_mode) in [(0o755, 0o644), (0o700, 0o640), (0o711, 0o600)] {
        set_mode(node.data.path(), directory);
        for name in files {
            set_mode(&node.data.path().join(name), files_mode);
        }
        node.forget_log();
        node.start();
        wait_for("it is said", || node.has_logged(COULD_READ));
        assert_eq!(modes(&node), private, "{directory:o}, {files_mode:o}");
        node.infos();
        node.kill();
    }
    node.forget_log();
    node.start();
    assert!(!node.has_logged(COULD_READ), "said once");
}

#[test]
fn a_data_directory_that_others_could_change_is_refused_with_what_to_do() {
    let world = World::bare();
    let mut node = world.node();
    node.kill();
    let directory = node.data.path().to_owned();
    let refused = |hint: &str| {
        let output = node.thunderd().output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(hint) && error.contains(directory.to_str().unwrap()), "{error}");
        assert!(error.contains("another --data-dir"), "{error}");
    };
    for open in [0o777, 0o770, 0o702, 0o1777] {
        set_mode(&directory, open);
        refused(&format!("`chmod 700 {}`", directory.display()));
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, open, "it is left alone");
    }
    set_mode(&directory, 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&directory, Some(NOBODY), None).unwrap();
        refused(&format!("belongs to another user (uid {NOBODY}, thunderd runs as 0): run `chown -R 0"));
        std::os::unix::fs::chown(&directory, Some(0), None).unwrap();
    } else {
        eprintln!("not tried: to give a directory to another user takes root");
    }
    node.start();
}

#[test]
fn a_directory_above_the_data_directory_that_others_could_change_draws_a_warning() {
    const SAID: &str = "other users can replace the data directory";
    let world = World::bare();
    let mut node = world.node();
    assert!(!node.has_logged(SAID));
    node.kill();
    let above = node.home().join("above");
    fs::create_dir(&above).unwrap();
    // Through a link, too.
    let link = above.join("link");
    symlink(node.data.path(), &link).unwrap();
    for (mode, is_said) in [(0o777, true), (0o775, true), (0o1777, false), (0o755, false)] {
        set_mode(&above, mode);
        node.forget_log();
        node.flags = vec!["--data-dir".into(), link.to_str().unwrap().into()];
        node.start();
        // Once it answers it can be told to end, and then writes its log to the end.
        node.ok(&["infos"]);
        node.signal(rustix::process::Signal::TERM);
        node.wait_end();
        assert_eq!(node.has_logged(SAID), is_said, "{mode:o}: {}", node.log());
    }
}

#[test]
fn a_password_file_that_others_can_read_draws_a_warning() {
    let world = World::bare();
    let place = tempfile::tempdir().unwrap();
    let password = write(place.path(), "password", "correct horse battery staple");
    set_mode(password.as_ref(), 0o644);
    let mut node = world.node_with(&["--password-file", &password]);
    node.wait_logged("can be read by other users");
    node.kill();
    set_mode(password.as_ref(), 0o600);
    let mut node = world.node_with(&["--password-file", &password]);
    assert!(!node.has_logged("can be read by other users"));
    let keyfile = write(place.path(), "key.json", include_str!("../data/keyfile.json"));
    let right = write(place.path(), "right", "correct horse");
    for (mode, is_said) in [(0o640, true), (0o600, false)] {
        set_mode(right.as_ref(), mode);
        let output = node.output(&["importwallet", "--keyfile", &keyfile, "--password-file", &right]);
        assert!(output.status.success());
        assert_eq!(text(&output.stderr).contains("can be read by other users"), is_said, "{mode:o}");
    }
    node.kill();
}

/// Everything on disk that is not the file meant for it, as one.
fn all_files_but(directory: &Path, meant: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let others = files.filter(|path| path.is_file() && !meant.iter().any(|name| path.ends_with(name)));
    others.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn assert_unseen(secrets: &[(&str, Vec<u8>)], place: &str, content: &[u8]) {
    for (what, secret) in secrets {
        let found = content.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret));
        assert!(!found, "{what} is in {place}");
    }
}

#[test]
fn no_secret_is_ever_in_a_log_an_answer_or_the_wrong_file() {
    let world = World::new();
    let place = tempfile::tempdir().unwrap();
    let password = write(place.path(), "password", "correct horse battery staple");
    let keyfile_password = write(place.path(), "right", "incorrect mule");
    let mut alice = world.node_with(&["--log", "trace", "--password-file", &password]);
    let bob = world.user(2);
    let mut said = Vec::new();
    let mut run = |alice: &Node, arguments: &[&str]| {
        let output = alice.output(arguments);
        said.extend(output.stdout);
        said.extend(output.stderr);
    };
    let typing_error = WORDS.replace("yellow", "winner");
    let keyfile = write(place.path(), "key.json", include_str!("../data/keyfile.json"));
    run(&alice, &["importwallet", &typing_error]);
    run(&alice, &["importwallet", "--keyfile", &keyfile, "--password-file", &keyfile_password]);
    run(&alice, &["importwallet", WORDS]);
    world.give_thd(alice.wallet(), "100");
    world.run(world.testnet.set_eth(alice.wallet(), 10u128.pow(18))).unwrap();
    alice.connect(&bob);
    for arguments in [vec!["openchannel", "10"], vec!["pay", "1"], vec!["infos"], vec!["receipts"]] {
        run(&alice, &arguments);
    }
    run(&alice, &["backup", &place.path().join("backup").to_string_lossy()]);
    alice.crash();
    alice.wait_connected(&bob);
    run(&alice, &["closechannel", "--cooperative", "--json"]);
    let channels = bob.infos()["channels"].clone();
    assert!(channels[0]["channel"].is_string(), "{}", text(&said));
    assert_eq!(bob.mine(address(&channels[0]["channel"])), thd("1"), "it all happened");

    let key = thunder_chain::keys::from_phrase(WORDS, thunder_chain::keys::DEFAULT_PATH).unwrap();
    let node_key = fs::read(alice.data.path().join("node.key")).unwrap();
    let mut secrets = vec![
        ("the key in hex", hex::encode(key.expose().as_slice()).into_bytes()),
        ("the key", key.expose().to_vec()),
        ("the password", b"correct horse battery staple".to_vec()),
        ("the keyfile's password", b"incorrect mule".to_vec()),
        ("the node's key", node_key[4..36].to_vec()),
        ("the node's key in hex", hex::encode(&node_key[4..36]).into_bytes()),
    ];
    let words: Vec<_> = WORDS.split(' ').collect();
    secrets.extend(words.windows(2).map(|two| ("two words of the phrase", two.join(" ").into_bytes())));
    assert_unseen(&secrets, "the log", alice.log().as_bytes());
    alice.wait_logged("TRACE");
    assert_unseen(&secrets, "what thunder-cli said", &said);
    for (path, content) in all_files_but(alice.data.path(), &["node.key"]) {
        assert_unseen(&secrets, &path.display().to_string(), &content);
    }
    // The backup has the node's key, and is private for it.
    let backup = place.path().join("backup");
    assert_eq!(mode(&backup), 0o600);
    let but_the_node_key = secrets.iter().filter(|(what, _)| !what.starts_with("the node's")).cloned();
    assert_unseen(&but_the_node_key.collect::<Vec<_>>(), "the backup", &fs::read(backup).unwrap());
    for name in ["thunder.db", "node.key", "wallet.json", "thunderd.lock"] {
        assert_eq!(mode(&alice.data.path().join(name)), 0o600, "{name}");
    }
}
