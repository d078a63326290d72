//! The header of a backup file: its version, the hash of the content, and the wallet's signature on that.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use alloy_primitives::Keccak256;
use thunder_protocol::{Address, B256, Signature, backup_digest, recover};
use zeroize::Zeroizing;

use super::{BackupError, failed};

const MAGIC: &[u8] = b"thunder backup ";
/// With the hash alone: before there were signatures.
const UNSIGNED: &[u8; 17] = b"thunder backup 1\n";
const SIGNED: &[u8; 17] = b"thunder backup 2\n";

/// The header of a backup: what its content has to be, and who says so.
pub(super) struct Seal {
    /// The hash of the content.
    pub(super) content: B256,
    /// The wallet of the node, and its signature on the hash.
    pub(super) signature: Option<(Address, Signature)>,
}

impl Seal {
    /// Writes the header of a signed backup.
    pub(super) fn write(
        to: &mut impl Write,
        content: &B256,
        (wallet, signature): (&Address, &Signature),
    ) -> io::Result<()> {
        for part in [SIGNED, content.as_slice(), wallet.as_slice(), signature.as_bytes()] {
            to.write_all(part)?;
        }
        Ok(())
    }

    /// Reads the header of the backup at `path`. The signature is verified, the hash is not yet.
    pub(super) fn read(path: &Path, from: &mut impl Read) -> Result<Self, BackupError> {
        let damaged = |reason: &str| BackupError::Damaged(path.into(), reason.into());
        let header = part::<17>(path, from)?;
        let is_signed = match &header {
            SIGNED => true,
            UNSIGNED => false,
            newer if newer.starts_with(MAGIC) => return Err(BackupError::TooNew(path.into())),
            _ => return Err(BackupError::NotABackup(path.into())),
        };
        let content = B256::new(part(path, from)?);
        if !is_signed {
            return Ok(Self { content, signature: None });
        }
        let (wallet, signature) = (Address::new(part(path, from)?), Signature::from_bytes(part(path, from)?));
        if recover(&backup_digest(content), &signature) != Some(wallet) {
            return Err(damaged("its signature is not that of the wallet that it names"));
        }
        Ok(Self { content, signature: Some((wallet, signature)) })
    }
}

/// The next bytes of a header. A file that is shorter is cut off, or no backup.
fn part<const N: usize>(path: &Path, from: &mut impl Read) -> Result<[u8; N], BackupError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof if is_backup(path).unwrap_or(false) => {
            BackupError::Damaged(path.into(), "it is cut off".into())
        }
        io::ErrorKind::UnexpectedEof => BackupError::NotABackup(path.into()),
        _ => failed(path)(error),
    })?;
    Ok(bytes)
}

/// Whether a file says that it is a backup.
pub(super) fn is_backup(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// Copies everything, and returns the hash of it.
pub(super) fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<B256> {
    let mut hasher = Keccak256::new();
    let mut buffer = Zeroizing::new(vec![0; 1 << 16]);
    loop {
        let count = from.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        to.write_all(read)?;
    }
    Ok(hasher.finalize())
}
