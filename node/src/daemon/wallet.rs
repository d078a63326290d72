//! The wallet is replaced: in one step on disk and in memory, and never while a channel needs the
//! present one.

use thunder_api::{Answer, ApiError, Code};
use thunder_chain::LOCAL_CHAIN_IDS;
use thunder_chain::keys::KeyError;
use thunder_protocol::{Address, Channel};

use super::execute::{disk_error, is_live};
use super::opening::is_awaited;
use super::{Daemon, Wallet};
use crate::keys::{self, SealedWallet, WalletError};
use crate::store::StoredChannel;

impl Daemon {
    /// Uses another wallet from now on: puts it on disk, and, in the same step, in the place of the present
    /// one. No input comes in between, and whoever asked for it has no part in it.
    pub(super) fn import(&mut self, sealed: SealedWallet) -> Answer<Address> {
        // What came before in this batch is on disk first: a channel may have ended in it.
        self.finish_batch(0);
        let signer = keys::signer(&sealed.key).map_err(|error| wallet_error(&error))?;
        let address = signer.address();
        self.may_import(address)?;
        let is_another = self.wallet.as_ref().is_none_or(|wallet| wallet.address != address);
        let put = self.wallet_file.put(&sealed, is_another);
        if let Err(error) = put.as_ref()
            && !matches!(error, WalletError::Unsure(_))
        {
            return Err(wallet_error(error));
        }
        self.wallet = Some(Wallet { address, signer, key: sealed.key });
        self.locked = None;
        self.end_all_sessions("another wallet is used");
        // Before anything is asked of the chain; also if the disk refuses the rest of the batch.
        self.tell_chain_of_wallet();
        if self.chain.caught_up {
            self.resume_channels();
        }
        put.map_err(|error| wallet_error(&error))?;
        Ok(address)
    }

    /// Whether this wallet may replace the present one. A closed channel needs its wallet until its end is deep
    /// in the chain: before, a reorganisation can take the end back, and the other side close on an old receipt.
    fn may_import(&self, address: Address) -> Answer<()> {
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
        let hint = match self.channels.get(&terms.channel) {
            Some(_) => format!("try again in {count} (on a local testnet: thunder-deploy mine {blocks})"),
            None => format!("start thunderd with the --RPC of chain {} for so long", terms.chain_id),
        };
        Err(ApiError::new(Code::WalletInUse, message, hint))
    }

    /// Whether a wallet that is on disk already may be used: not if open channels belong to another one.
    pub(super) fn may_use(&self, address: Address) -> Answer<()> {
        let others = self.channels_of_other_wallets(address)?;
        let open = others.iter().filter(|stored| is_live(&stored.channel)).count();
        if open == 0 {
            return Ok(());
        }
        let message = format!("{open} open channels belong to another wallet, which can't be replaced");
        Err(ApiError::new(Code::WalletInUse, message, "close them and withdraw first; see infos"))
    }

    /// The channels that are not over and that another wallet than this one is needed for.
    fn channels_of_other_wallets(&self, address: Address) -> Answer<Vec<StoredChannel>> {
        let mut others =
            self.store.channels_of_other_wallets(&address).map_err(|error| disk_error(&error))?;
        others.retain(|stored| {
            let terms = stored.channel.setup().terms();
            let is_here = self.channels.get(&terms.channel).is_some() && self.chain.identity.is_some();
            // A local testnet that was started anew is gone for good, and its channels with it.
            let is_real = !LOCAL_CHAIN_IDS.contains(&terms.chain_id);
            !is_awaited(&stored.channel) && (is_here || is_real)
        });
        Ok(others)
    }

    /// How many blocks are missing until the end of a closed channel is deep in its chain, as far as is
    /// known; 0 for one that is not closed.
    fn blocks_until_deep(&self, stored: &StoredChannel) -> u64 {
        let Channel::Closed(closed) = &stored.channel else { return 0 };
        let terms = closed.common.setup.terms();
        let head = self.chain.head.filter(|_| self.channels.get(&terms.channel).is_some());
        closed.blocks_until_deep(head, self.config.confirmations_on(terms.chain_id))
    }
}

/// Why a wallet was not imported.
pub(crate) fn wallet_error(error: &WalletError) -> ApiError {
    let (code, hint) = match error {
        WalletError::Key(KeyError::Phrase(_)) => {
            (Code::InvalidPhrase, "check the words and their order; nothing was changed")
        }
        WalletError::Key(KeyError::Path) => (Code::InvalidPath, "leave --path away for the usual one"),
        WalletError::Key(KeyError::Password) => (Code::WrongPassword, "nothing was changed; try again"),
        WalletError::Key(KeyError::Keyfile(_) | KeyError::OutOfRange) => {
            (Code::InvalidKeyfile, "give the JSON file that another wallet exported")
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
