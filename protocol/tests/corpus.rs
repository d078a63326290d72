//! Replays the fuzzers' committed corpora through the same harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the harness is a module of the fuzz targets too")]

#[path = "../../fuzz/harness/apply/mod.rs"]
mod apply;
#[path = "../../fuzz/harness/codec.rs"]
mod codec;
#[path = "../../fuzz/harness/corpus.rs"]
mod corpus;

use std::path::Path;

use apply::Signing;

#[test]
fn codec() {
    corpus::replay("codec", codec::codec);
}

#[test]
fn apply() {
    corpus::replay("apply", |bytes| apply::apply(bytes, Signing::Cheap));
}

#[test]
fn apply_with_real_signatures() {
    corpus::replay("apply", |bytes| apply::apply(bytes, Signing::Real));
}

/// The directory of the fuzz targets, which is a workspace of its own.
fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

/// The names in a directory that end with `end`, without it.
fn names(directory: &Path, end: &str) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> =
        names.filter_map(|name| name.to_str()?.strip_suffix(end).map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn every_target_has_an_archive() {
    assert_eq!(names(&fuzz().join("corpus"), ".tar.gz"), names(&fuzz().join("fuzz_targets"), ".rs"));
}

#[test]
#[should_panic(expected = "there_is_none.tar.gz")]
fn an_archive_that_is_missing_is_no_corpus() {
    corpus::read(&corpus::archive("there_is_none"));
}

#[test]
#[should_panic(expected = "is empty")]
fn an_archive_without_a_file_is_no_corpus() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("empty.tar.gz");
    let file = std::fs::File::create(&archive).unwrap();
    let gzip = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    tar::Builder::new(gzip).into_inner().unwrap().finish().unwrap();
    corpus::read(&archive);
}

/// GNU tar, which the script needs, is what Linux has.
#[cfg(target_os = "linux")]
#[test]
fn the_script_packs_what_it_has_unpacked_to_the_same_archives() {
    let copy = tempfile::tempdir().unwrap();
    let corpora = copy.path().join("corpus");
    std::fs::create_dir(&corpora).unwrap();
    std::fs::copy(fuzz().join("corpora"), copy.path().join("corpora")).unwrap();
    let targets = names(&fuzz().join("corpus"), ".tar.gz");
    for target in &targets {
        let archive = format!("{target}.tar.gz");
        std::fs::copy(corpus::archive(target), corpora.join(archive)).unwrap();
    }
    let run = |command: &str| {
        let script = std::process::Command::new(copy.path().join("corpora")).arg(command).output().unwrap();
        assert!(script.status.success(), "{command}: {}", String::from_utf8_lossy(&script.stderr));
    };
    run("unpack");
    for target in &targets {
        std::fs::remove_file(corpora.join(format!("{target}.tar.gz"))).unwrap();
        let unpacked: Vec<_> = corpus::read(&corpus::archive(target)).into_keys().collect();
        assert_eq!(names(&corpora.join(target), ""), unpacked);
    }
    run("pack");
    for target in &targets {
        let archive = format!("{target}.tar.gz");
        // What compresses may differ between machines, the archive within may not.
        let within = |path: &Path| {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path).unwrap();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
            bytes
        };
        assert!(within(&corpora.join(&archive)) == within(&corpus::archive(target)), "{archive} is another");
    }
}
