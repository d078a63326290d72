//! Making sure that a contract is the channel that was agreed on, and that THD and the factory are there.
//!
//! (The protocol's "Opening".) Addresses are computed; only what stands there is asked for.

use thunder_protocol::Address;

use super::{ContractsPart, Guard, QuestionPurpose, Report, VerifyPart};
use crate::contracts::{calls, read_address, read_number};
use crate::endpoint::Millis;
use crate::error::AskError;
use crate::question::{EndpointAnswer, Question};
use crate::retry_timer::RetryTimer;
use crate::state::StorageState;
use crate::watch::NotTheChannel;

/// The wait before a question is asked again.
const RETRY: Millis = 500;
/// The wait before a question about THD and the factory is asked again that got no answer.
const ASK_AGAIN: Millis = 50;
/// The wait before THD and the factory are looked for again.
const LOOK_EVERY: Millis = 2_000;
/// How often an answer that speaks against a channel has to come from a single endpoint: one odd answer
/// changes nothing. Of several, more than half have to say so.
const TIMES: usize = 2;

/// How many decimals THD has.
const DECIMALS: u128 = 18;

/// What is asked about a channel.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    timers: [RetryTimer; 3],
    /// The endpoints whose answers spoke against the channel.
    against: Vec<usize>,
}

/// Whether THD and the factory are there.
#[derive(Debug, Default)]
pub(super) struct ContractsCheck {
    timer: RetryTimer,
    token: Option<bool>,
    /// How many decimals the token says that it has; some say nothing.
    decimals: Option<Option<u128>>,
    factory: Option<bool>,
    factory_token: Option<Option<Address>>,
    reported: Option<Result<(), String>>,
}

const PARTS: [VerifyPart; 3] = [VerifyPart::Code, VerifyPart::Amount, VerifyPart::Held];

impl Guard {
    /// Whether a channel is still to be verified before anything is reported of it.
    pub(super) fn waits_for_verification(&mut self, address: Address, now: Millis) -> bool {
        let Some(channel) = self.channels.as_mut().and_then(|channels| channels.get_mut(&address)) else {
            return true;
        };
        let is_there = !matches!(channel.believed, None | Some(StorageState::Missing));
        let Some(unverified) = channel.unverified.as_ref().filter(|_| is_there) else {
            self.verifying.remove(&address);
            return false;
        };
        let paid_in = match channel.believed {
            Some(StorageState::Empty { paid_in } | StorageState::Active { paid_in }) => {
                paid_in.sum().map_or(u128::MAX, |sum| sum.base_units())
            }
            // What it held is paid out, or is not known any more.
            _ => 0,
        };
        let is_covered = paid_in == 0 || unverified.held.is_some_and(|held| held >= paid_in);
        if unverified.has_code && unverified.has_amount && is_covered {
            self.verifying.remove(&address);
            return false;
        }
        self.verifying.entry(address).or_insert_with(|| Verifying {
            timers: [RetryTimer::default(); 3].map(|mut timer| {
                timer.hurry(now);
                timer
            }),
            against: Vec::new(),
        });
        true
    }

    pub(super) fn verify_question(
        &mut self,
        endpoint_index: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let token = self.settings.contracts.token;
        let is_alone = self.endpoints.len() == 1;
        let unasked =
            self.verifying.iter_mut().filter(|(_, it)| is_alone || !it.against.contains(&endpoint_index));
        for (address, verifying) in unasked {
            let channel = self.channels.as_ref().and_then(|channels| channels.get(address));
            let Some(unverified) = channel.and_then(|channel| channel.unverified.as_ref()) else { continue };
            let lacks = [!unverified.has_code, !unverified.has_amount, true];
            for ((timer, part), lacks) in verifying.timers.iter_mut().zip(PARTS).zip(lacks) {
                if !lacks || !timer.is_ready(now, hedge) {
                    continue;
                }
                timer.asked(now);
                let question = match part {
                    VerifyPart::Code => Question::Code(*address),
                    VerifyPart::Amount => Question::Call { to: *address, data: calls::total() },
                    VerifyPart::Held => Question::Call { to: token, data: calls::balance_of(*address) },
                };
                return Some((QuestionPurpose::Verify(*address, part), question));
            }
        }
        None
    }

    pub(super) fn on_verified(
        &mut self,
        endpoint_index: usize,
        address: Address,
        part: VerifyPart,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let Some(verifying) = self.verifying.get_mut(&address) else { return };
        let timer = match part {
            VerifyPart::Code => &mut verifying.timers[0],
            VerifyPart::Amount => &mut verifying.timers[1],
            VerifyPart::Held => &mut verifying.timers[2],
        };
        timer.answered(now.saturating_add(RETRY));
        let channel = self.channels.as_mut().and_then(|channels| channels.get_mut(&address));
        let Some(channel) = channel else { return };
        let (Ok(EndpointAnswer::Bytes(bytes)), Some(unverified)) = (result, channel.unverified.as_mut())
        else {
            return;
        };
        let against = match part {
            VerifyPart::Code if bytes == unverified.code => {
                unverified.has_code = true;
                None
            }
            // An endpoint of several machines: this one does not have the block yet.
            VerifyPart::Code if bytes.is_empty() => return,
            VerifyPart::Code => Some(NotTheChannel::OtherCode),
            VerifyPart::Amount => match read_number(&bytes) {
                Some(amount) if amount == unverified.amount.base_units() => {
                    unverified.has_amount = true;
                    None
                }
                Some(amount) => Some(NotTheChannel::OtherAmount(amount)),
                None => return,
            },
            VerifyPart::Held => {
                let Some(held) = read_number(&bytes) else { return };
                unverified.held = Some(held);
                let paid_in = match channel.believed {
                    Some(StorageState::Empty { paid_in } | StorageState::Active { paid_in }) => paid_in.sum(),
                    _ => None,
                };
                // The code is a channel's, so what it says was paid in is there: this machine is behind.
                if paid_in.is_some_and(|sum| held < sum.base_units()) {
                    return;
                }
                None
            }
        };
        match against {
            None => self.on_explanation(address, now),
            Some(why) => self.speaks_against(endpoint_index, address, why),
        }
    }

    fn speaks_against(&mut self, endpoint_index: usize, address: Address, why: NotTheChannel) {
        let usable =
            (0..self.endpoints.len()).filter(|endpoint_index| self.is_usable(*endpoint_index)).count();
        let is_alone = self.endpoints.len() == 1;
        let Some(verifying) = self.verifying.get_mut(&address) else { return };
        if is_alone || !verifying.against.contains(&endpoint_index) {
            verifying.against.push(endpoint_index);
        }
        let times = if is_alone { TIMES } else { usable / 2 + 1 };
        if verifying.against.len() >= times {
            self.verifying.remove(&address);
            self.unwatch(address);
            self.report(Report::Invalid { channel: address, why });
        }
    }

    // ---- THD and the factory ------------------------------------------------------------------

    pub(super) fn contracts_question(
        &mut self,
        now: Millis,
        hedge: Millis,
    ) -> Option<(QuestionPurpose, Question)> {
        let (contracts, check) = (self.settings.contracts, &mut self.contracts);
        if matches!(check.reported, Some(Ok(()))) || !check.timer.is_ready(now, hedge) {
            return None;
        }
        let (part, question) = if check.token.is_none() {
            (ContractsPart::TokenCode, Question::Code(contracts.token))
        } else if check.decimals.is_none() {
            let data = calls::decimals();
            (ContractsPart::TokenDecimals, Question::Call { to: contracts.token, data })
        } else if check.factory.is_none() {
            (ContractsPart::FactoryCode, Question::Code(contracts.factory))
        } else {
            let data = calls::token();
            (ContractsPart::FactoryToken, Question::Call { to: contracts.factory, data })
        };
        check.timer.asked(now);
        Some((QuestionPurpose::Contracts(part), question))
    }

    pub(super) fn on_contracts(
        &mut self,
        part: ContractsPart,
        result: Result<EndpointAnswer, AskError>,
        now: Millis,
    ) {
        let (contracts, check) = (self.settings.contracts, &mut self.contracts);
        check.timer.answered(now.saturating_add(ASK_AGAIN));
        let bytes = match result {
            Ok(EndpointAnswer::Bytes(bytes)) => bytes,
            Err(AskError::Refused(_)) => Vec::new(),
            _ => return,
        };
        match part {
            ContractsPart::TokenCode => check.token = Some(!bytes.is_empty()),
            ContractsPart::TokenDecimals => check.decimals = Some(read_number(&bytes)),
            ContractsPart::FactoryCode => check.factory = Some(!bytes.is_empty()),
            ContractsPart::FactoryToken => check.factory_token = Some(read_address(&bytes)),
        }
        check.timer.hurry(now);
        let missing = |what: &str, at: Address| Err(format!("there is no {what} contract at {at}"));
        let verdict = match (check.token, check.decimals, check.factory, check.factory_token) {
            (Some(false), ..) => missing("THD", contracts.token),
            (_, Some(Some(decimals)), ..) if decimals != DECIMALS => Err(format!(
                "the token at {} has {decimals} decimals, and Thunder takes one with {DECIMALS} only",
                contracts.token
            )),
            (_, _, Some(false), _) => missing("channel factory", contracts.factory),
            (.., Some(Some(token))) if token == contracts.token => Ok(()),
            (.., Some(Some(token))) => Err(format!(
                "the factory at {} is for the token {token}, not {}",
                contracts.factory, contracts.token
            )),
            (.., Some(None)) => Err(format!("the contract at {} is no channel factory", contracts.factory)),
            _ => return,
        };
        if verdict.is_err() {
            // Everything is looked for again after a while: they may be deployed meanwhile.
            (check.token, check.decimals, check.factory, check.factory_token) = (None, None, None, None);
            check.timer.answered(now.saturating_add(LOOK_EVERY));
        }
        if check.reported.as_ref() != Some(&verdict) {
            check.reported = Some(verdict.clone());
            self.report(Report::Contracts(verdict));
        }
    }
}
