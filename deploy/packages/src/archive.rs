//! The archive of a platform: the executables, man pages, completions, the service, licences.
//!
//! The same content gives the same bytes, on every machine and at every time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use crate::{Error, PROGRAMS, Target, extras, read, third_party, write};

/// What of the source tree goes into each archive, and where to.
const FILES: [(&str, &str); 5] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("deploy/systemd/thunderd.service", "systemd/thunderd.service"),
];

/// The licences of what is linked.
pub(crate) const THIRD_PARTY: &str = "THIRD-PARTY-LICENSES";

/// 1980-01-01, the first day that both formats know, in seconds since 1970.
const TIME: u64 = 315_532_800;

/// A file to be packed.
struct Entry {
    /// Its path in the archive, with slashes.
    path: String,
    content: Vec<u8>,
    is_executable: bool,
}

/// Packs a platform's executables, and gives the archive's path. Its checksum goes beside it.
pub fn archive(
    root: &Path,
    target: Target,
    binaries: &Path,
    sbom: Option<&Path>,
    out: &Path,
) -> Result<PathBuf, Error> {
    let mut entries = Vec::new();
    for program in PROGRAMS {
        let name = target.executable(program);
        entries.push(entry(&binaries.join(&name), name, true)?);
    }
    for (from, to) in FILES {
        // There is no systemd elsewhere.
        if to.starts_with("systemd") && !target.rust().contains("linux") {
            continue;
        }
        entries.push(entry(&root.join(from), to.to_owned(), false)?);
    }
    let licences = third_party::licences(root, target)?;
    entries.push(Entry {
        path: THIRD_PARTY.to_owned(),
        content: licences.into_bytes(),
        is_executable: false,
    });
    let made = out.join(format!("{}.extras", target.name()));
    extras(&made)?;
    entries.extend(tree(&made, "")?);
    std::fs::remove_dir_all(&made).map_err(Error::file(&made))?;
    if let Some(sbom) = sbom {
        entries.extend(tree(sbom, "sbom/")?);
    }
    entries.sort_by(|left, right| left.path.cmp(&right.path));

    std::fs::create_dir_all(out).map_err(Error::file(out))?;
    let path = out.join(target.archive());
    if target.is_windows() {
        zip(&path, target, &entries)?
    } else {
        tar(&path, target, &entries)?
    }
    checksum(&path)?;
    Ok(path)
}

/// Writes the SHA-256 of a file beside it, as `sha256sum --check` reads it.
fn checksum(path: &Path) -> Result<(), Error> {
    let content = std::fs::read(path).map_err(Error::file(path))?;
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    write(&path.with_file_name(format!("{name}.sha256")), format!("{hash}  {name}\n"))
}

fn entry(from: &Path, path: String, is_executable: bool) -> Result<Entry, Error> {
    let content = std::fs::read(from).map_err(Error::file(from))?;
    Ok(Entry { path, content, is_executable })
}

/// All files below a directory.
fn tree(directory: &Path, prefix: &str) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for item in std::fs::read_dir(directory).map_err(Error::file(directory))? {
        let item = item.map_err(Error::file(directory))?;
        let name = format!("{prefix}{}", item.file_name().to_string_lossy());
        if item.path().is_dir() {
            entries.extend(tree(&item.path(), &format!("{name}/"))?);
        } else {
            entries.push(entry(&item.path(), name, false)?);
        }
    }
    Ok(entries)
}

fn tar(path: &Path, target: Target, entries: &[Entry]) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::file(path))?;
    // No name and no time in its header.
    let gzip = GzBuilder::new().operating_system(255).write(BufWriter::new(file), Compression::best());
    let mut builder = tar::Builder::new(gzip);
    let pack = |builder: &mut tar::Builder<_>, entry: &Entry| {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.content.len() as u64);
        header.set_mode(if entry.is_executable { 0o755 } else { 0o644 });
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, format!("{}/{}", target.name(), entry.path), &*entry.content)
    };
    let mut all = || {
        for entry in entries {
            pack(&mut builder, entry)?;
        }
        builder.finish()
    };
    all().map_err(Error::file(path))?;
    let gzip = builder.into_inner().map_err(Error::file(path))?;
    gzip.finish().and_then(|mut file| file.flush()).map_err(Error::file(path))
}

fn zip(path: &Path, target: Target, entries: &[Entry]) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::file(path))?;
    let mut writer = zip::ZipWriter::new(BufWriter::new(file));
    let mut all = || -> zip::result::ZipResult<()> {
        for entry in entries {
            let options = SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Deflated)
                .last_modified_time(zip::DateTime::default())
                .unix_permissions(if entry.is_executable { 0o755 } else { 0o644 });
            writer.start_file(format!("{}/{}", target.name(), entry.path), options)?;
            writer.write_all(&entry.content)?;
        }
        Ok(())
    };
    all().map_err(|error| Error::content(path, error))?;
    writer.finish().map_err(|error| Error::content(path, error))?.flush().map_err(Error::file(path))
}

/// The executables of an archive, and the licences of what is linked into them: their names and contents.
pub(crate) fn executables(path: &Path, target: Target) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut names = PROGRAMS.map(|program| target.executable(program)).to_vec();
    names.push(THIRD_PARTY.to_owned());
    let packed = |name: &str| format!("{}/{name}", target.name());
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let mut found = Vec::new();
    if target.is_windows() {
        let mut archive =
            zip::ZipArchive::new(std::io::Cursor::new(bytes)).map_err(|error| Error::content(path, error))?;
        for name in names {
            let mut file = archive.by_name(&packed(&name)).map_err(|error| Error::content(path, error))?;
            let mut content = Vec::new();
            std::io::copy(&mut file, &mut content).map_err(Error::file(path))?;
            found.push((name, content));
        }
        return Ok(found);
    }
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*bytes));
    for file in archive.entries().map_err(Error::file(path))? {
        let mut file = file.map_err(Error::file(path))?;
        let packed_as = file.path().map_err(Error::file(path))?.to_string_lossy().into_owned();
        if let Some(name) = names.iter().find(|name| packed(name) == packed_as) {
            let mut content = Vec::new();
            std::io::copy(&mut file, &mut content).map_err(Error::file(path))?;
            found.push((name.clone(), content));
        }
    }
    if found.len() == names.len() {
        Ok(found)
    } else {
        Err(Error::content(path, "an executable is missing in it"))
    }
}

/// The text of a licence file, for packages that need it once more.
pub(crate) fn licences(root: &Path) -> Result<Vec<(&'static str, String)>, Error> {
    ["LICENSE-MIT", "LICENSE-APACHE"].into_iter().map(|name| Ok((name, read(&root.join(name))?))).collect()
}
