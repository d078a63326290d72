//! `impl Daemon`: the wallet, loaded at the start, and replaced in one step on disk and in memory.
//!
//! It is never replaced while a channel needs the present one.

use thunder_api::{ApiError, ApiResult, Code, WalletImported};
use thunder_chain::LOCAL_CHAIN_IDS;
use thunder_chain::keys::KeyError;
use thunder_engine::{StoredChannel, confirmations_on, disk_error, is_inbound_pending, is_live};
use thunder_protocol::{Address, Channel, Signer};

use super::{Daemon, now_ms};
use crate::chain_task::ChainRequest;
use crate::keys::{self, SealedWallet, SecretKey, WalletError};

impl Daemon {
    /// Loads the wallet of the data directory, if there is one and its password is right.
    pub fn load_wallet(&mut self) {
        let loaded = match self.wallet_file.load() {
            Ok(None) => return,
            Ok(Some(key)) => {
                keys::signer(&key).map(|signer| (key, signer)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok((key, signer)) => {
                let address = signer.address();
                if let Err(error) = self.may_use(address) {
                    return self.lock(format!("the wallet {address} can't be used: {error}"));
                }
                self.use_wallet(key, signer);
                self.finish_batch(0);
            }
            Err(error) => self.lock(error),
        }
    }

    fn lock(&mut self, why: String) {
        tracing::error!("no channel can be looked after: {why}");
        self.engine.lock(why);
    }

    /// Uses a wallet from now on. The chain task has its key before it is asked for anything.
    fn use_wallet(&mut self, key: SecretKey, signer: Signer) {
        self.ask_chain(ChainRequest::Wallet(key));
        self.engine.set_wallet(signer, now_ms());
    }

    /// Uses another wallet from now on: puts it on disk, and, in the same step, in the place of the present
    /// one. No input comes in between, and the user who asked for it has no part in it.
    pub(super) fn import_wallet(&mut self, sealed: SealedWallet, replace: bool) -> ApiResult<WalletImported> {
        // What came before in this batch is on disk first: a channel may have ended in it.
        self.finish_batch(0);
        let signer = keys::signer(&sealed.key).map_err(|error| wallet_error(&error))?;
        let address = signer.address();
        self.may_import(address)?;
        let replaced = self.wallet_there().filter(|there| *there != address);
        if let Some(there) = replaced.filter(|_| !replace) {
            return Err(wallet_exists(there));
        }
        let is_another = self.engine.wallet_address() != Some(address);
        let put = self.wallet_file.put(&sealed, is_another);
        if let Err(error) = put.as_ref()
            && !matches!(error, WalletError::Unsure(_))
        {
            return Err(wallet_error(error));
        }
        // Also if the disk refuses the rest of the batch.
        self.use_wallet(sealed.key, signer);
        put.map_err(|error| wallet_error(&error))?;
        Ok(WalletImported { address: address.into(), replaced: replaced.map(Into::into) })
    }

    /// Whether a wallet that nobody has yet may be imported, so that no user writes its words down in vain.
    pub(super) fn may_import_new(&self, replace: bool) -> ApiResult<()> {
        // No wallet has this address, and no channel is a new wallet's.
        self.may_import(Address::ZERO)?;
        match self.wallet_there() {
            Some(there) if !replace => Err(wallet_exists(there)),
            Some(_) | None => Ok(()),
        }
    }

    /// The wallet in use, or the one on disk that can't be used.
    fn wallet_there(&self) -> Option<Address> {
        self.engine.wallet_address().or_else(|| self.wallet_file.stated_address())
    }

    /// Whether this wallet may replace the present one. A closed channel needs its wallet until its end is deep
    /// in the chain: before, a reorganisation can take the end back, and the other side close on an old receipt.
    fn may_import(&self, address: Address) -> ApiResult<()> {
        self.may_use(address)?;
        let others = self.channels_of_other_wallets(address)?;
        let shallow = others.iter().filter_map(|stored| {
            let blocks = self.blocks_until_deep(stored);
            (blocks > 0).then(|| (blocks, stored.channel.setup().terms()))
        });
        let Some((blocks, terms)) = shallow.max_by_key(|(blocks, _)| *blocks) else { return Ok(()) };
        let count = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
        let message = format!(
            "channel {} belongs to another wallet, which can't be replaced yet: it is CLOSED, and for {count} more \
             the chain can take that back",
            terms.channel
        );
        let hint = match self.engine.channels().get(&terms.channel) {
            Some(_) => format!("try again in {count} (on a local testnet: thunder-deploy mine {blocks})"),
            None => format!("start thunderd with the --RPC of chain {} for so long", terms.chain_id),
        };
        Err(ApiError::new(Code::WalletInUse, message, hint))
    }

    /// Whether a wallet that is on disk already may be used: not if open channels belong to another one.
    pub(super) fn may_use(&self, address: Address) -> ApiResult<()> {
        let others = self.channels_of_other_wallets(address)?;
        let open = others.iter().filter(|stored| is_live(&stored.channel)).count();
        if open == 0 {
            return Ok(());
        }
        let message = format!("{open} open channels belong to another wallet, which can't be replaced");
        Err(ApiError::new(Code::WalletInUse, message, "close them and withdraw first; see infos"))
    }

    /// The channels that are not over and that another wallet than this one is needed for.
    fn channels_of_other_wallets(&self, address: Address) -> ApiResult<Vec<StoredChannel>> {
        let mut others =
            self.store.channels_of_other_wallets(&address).map_err(|error| disk_error(&error))?;
        others.retain(|stored| {
            let terms = stored.channel.setup().terms();
            let is_here = self.engine.channels().get(&terms.channel).is_some()
                && self.engine.chain().identity.is_some();
            // A local testnet that was started anew is gone for good, and its channels with it.
            let is_real = !LOCAL_CHAIN_IDS.contains(&terms.chain_id);
            !is_inbound_pending(&stored.channel) && (is_here || is_real)
        });
        Ok(others)
    }

    /// How many blocks are missing until the end of a closed channel is deep in its chain, as far as is
    /// known; 0 for one that is not closed.
    fn blocks_until_deep(&self, stored: &StoredChannel) -> u64 {
        let Channel::Closed(closed) = &stored.channel else { return 0 };
        let terms = closed.common.setup.terms();
        let head = self.engine.chain().head.filter(|_| self.engine.channels().get(&terms.channel).is_some());
        closed.blocks_until_deep(head, confirmations_on(self.config.confirmations, terms.chain_id))
    }
}

/// There is a wallet, and nobody has said that it may be replaced.
fn wallet_exists(there: Address) -> ApiError {
    let message = format!("the node has another wallet, {there}");
    ApiError::new(Code::WalletExists, message, "nothing was changed; to replace it, repeat with --yes")
}

/// Why a wallet was not imported.
pub(crate) fn wallet_error(error: &WalletError) -> ApiError {
    let (code, hint) = match error {
        WalletError::Key(KeyError::Phrase(_)) => {
            (Code::InvalidPhrase, "check the words and their order; nothing was changed")
        }
        WalletError::Key(KeyError::Path) => (Code::InvalidPath, "leave --path away for the usual one"),
        WalletError::Key(KeyError::Password) => (Code::WrongPassword, "nothing was changed; try again"),
        WalletError::Key(KeyError::Keyfile(reason)) => (Code::InvalidKeyfile, reason.advice()),
        WalletError::Key(KeyError::OutOfRange) => {
            (Code::InvalidKeyfile, "the file holds no key of Ethereum: export it again from the wallet")
        }
        WalletError::Key(KeyError::Random(_))
        | WalletError::Random(_)
        | WalletError::File(_)
        | WalletError::PasswordFile(_)
        | WalletError::NotKept => (Code::File, "check the data directory; nothing was changed"),
        WalletError::Unsure(_) => (Code::File, "repair the disk, and import the wallet again"),
    };
    ApiError::new(code, error.to_string(), hint)
}
