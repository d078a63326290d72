//! Replays a committed corpus.

use std::fs;
use std::path::Path;

/// Runs `harness` on every file of a target's corpus. What fails names its file.
pub fn replay(target: &str, harness: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = above.map(|folder| folder.join("fuzz/corpus")).find(|folder| folder.is_dir());
    let folder = corpora.expect("the corpora are there").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    for file in files {
        let bytes = fs::read(&file).expect("a file");
        if let Err(panic) = std::panic::catch_unwind(|| harness(&bytes)) {
            let name = file.file_name().unwrap_or_default().display();
            eprintln!("repeat with: cargo fuzz run {target} fuzz/corpus/{target}/{name}");
            std::panic::resume_unwind(panic);
        }
    }
}
