//! The libp2p key: Ed25519, made at first start, readable by its owner only.

use std::io;
use std::path::Path;

use libp2p::identity::Keypair;
use zeroize::Zeroizing;

use super::files::{FileError, read_if_there, write_private};

/// Reads the node's key, or makes one.
pub fn load_or_create(path: &Path) -> Result<Keypair, FileError> {
    if let Some(bytes) = read_if_there(path)? {
        let bytes = Zeroizing::new(bytes);
        return Keypair::from_protobuf_encoding(&bytes)
            .map_err(|error| FileError::new(path, io::Error::new(io::ErrorKind::InvalidData, error)));
    }
    let keypair = Keypair::generate_ed25519();
    let encoded =
        keypair.to_protobuf_encoding().map_err(|error| FileError::new(path, io::Error::other(error)))?;
    write_private(path, &Zeroizing::new(encoded))?;
    Ok(keypair)
}
