//! Replays a committed corpus: one archive for each target, which `fuzz/corpora` packs and unpacks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::Archive;

/// Runs `harness` on every file of a target's corpus. What fails names its file.
pub fn replay(target: &str, harness: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    for (name, bytes) in read(&archive(target)) {
        if let Err(panic) = std::panic::catch_unwind(|| harness(&bytes)) {
            eprintln!("repeat with: fuzz/corpora unpack {target}");
            eprintln!("             cargo fuzz run {target} fuzz/corpus/{target}/{name}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Returns the path of a target's archive, seen from whichever crate replays it.
pub fn archive(target: &str) -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = above.map(|folder| folder.join("fuzz/corpus")).find(|folder| folder.is_dir());
    corpora.expect("the corpora are there").join(format!("{target}.tar.gz"))
}

/// Returns the files of an archive by name. Panics if there is no archive, or nothing in it.
pub fn read(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let open = File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut files = BTreeMap::new();
    for entry in Archive::new(GzDecoder::new(open)).entries().expect("an archive") {
        let mut entry = entry.expect("a whole archive");
        let name = entry.path().expect("a name").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole file");
        files.insert(name, bytes);
    }
    assert!(!files.is_empty(), "{} is empty", archive.display());
    files
}
