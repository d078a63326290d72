//! The two keys of a node: the libp2p key that names it, and the wallet that it speaks for.

mod files;
mod node_key;
mod wallet;

pub use files::{FileError, write_private};
pub(crate) use files::{private_options, sync_directory};
pub use node_key::load_or_create as load_or_create_node_key;
pub use wallet::{LoadError, SealedWallet, WalletError, WalletFile, signer};

pub use thunder_chain::keys::SecretKey;
use zeroize::Zeroizing;

/// 32 bytes from the operating system's random number generator.
pub fn random_bytes() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())?;
    Ok(bytes)
}
