//! Files that the user names: read up to a limit, written as a whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use thunder_api::{ApiError, Code, ExportedFile, ExportedReceipt, ExportedReceipts, Secret};
use zeroize::Zeroizing;

/// The largest file or standard input that is read, in bytes. What is wanted is far smaller.
const LIMIT: u64 = 1 << 20;

/// Reads a secret.
pub(crate) fn read_secret(source: impl Read) -> io::Result<Secret> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LIMIT as usize + 1));
    source.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Secret::new(text.as_str().to_owned()))
}

/// Reads a secret from a file.
pub(crate) fn secret(path: &Path) -> Result<Secret, ApiError> {
    File::open(path).and_then(read_secret).map_err(|error| unreadable(path, &error))
}

/// A receipt from a file, and the channel that the file says it belongs to.
pub(crate) fn receipt(path: &Path) -> Result<(ExportedReceipt, Option<String>), ApiError> {
    let text = text(path)?;
    if let Ok(receipts) = serde_json::from_str::<ExportedReceipts>(&text) {
        return Ok((receipts.agreed, Some(receipts.channel.to_string())));
    }
    let receipt = serde_json::from_str(&text).map_err(|error| not_exported(path, &error))?;
    Ok((receipt, None))
}

/// A file that `receipts` wrote, with or without `--watchtower`.
pub(crate) fn exported(path: &Path) -> Result<ExportedFile, ApiError> {
    let text = text(path)?;
    if let Ok(receipts) = serde_json::from_str(&text) {
        return Ok(ExportedFile::Receipts(receipts));
    }
    let record = serde_json::from_str(&text).map_err(|error| not_exported(path, &error))?;
    Ok(ExportedFile::Watchtower(record))
}

fn text(path: &Path) -> Result<String, ApiError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text));
    read.map_err(|error| unreadable(path, &error))?;
    Ok(text)
}

fn not_exported(path: &Path, error: &serde_json::Error) -> ApiError {
    let message = format!("{} is not a receipt: {error}", path.display());
    ApiError::new(
        Code::InvalidReceipt,
        message,
        "give a file that `thunder-cli receipts --output <file>` wrote",
    )
}

/// Writes a new file, whole or not at all; one that is there already is left alone.
pub(crate) fn create(path: &Path, content: &str) -> Result<(), ApiError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        Ok(())
    };
    write().map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "name another file; nothing is overwritten",
            _ => "name a file that you may write",
        };
        ApiError::new(Code::File, format!("can't write {}: {error}", path.display()), hint)
    })
}

/// A path as thunderd, which runs elsewhere, can use it.
pub(crate) fn absolute(path: &Path) -> Result<String, ApiError> {
    let whole = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    whole.into_os_string().into_string().map_err(|_| {
        ApiError::new(Code::File, format!("{} is not a text", path.display()), "name a file in plain letters")
    })
}

fn unreadable(path: &Path, error: &io::Error) -> ApiError {
    ApiError::new(
        Code::File,
        format!("can't read {}: {error}", path.display()),
        "name a text file that you may read",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("receipts.json");
        create(&path, "first").unwrap();
        let error = create(&path, "second").unwrap_err();
        assert_eq!(
            (error.code, error.hint.as_str()),
            (Code::File, "name another file; nothing is overwritten")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_up_to_a_limit() {
        assert_eq!(read_secret("abc def\r\n".as_bytes()).unwrap().expose(), "abc def");
        assert!(read_secret(io::repeat(b'x')).is_err());
    }
}
