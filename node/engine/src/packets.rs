//! `impl Engine`: packets, the messages of an open session, in requests and in responses.

use thunder_protocol::channel::PeerInput;
use thunder_protocol::wire::{
    Envelope, MAX_MESSAGES, MAX_PAYMENTS, Message, Packet, PacketBuilder, Request, Response, SessionId,
    WireError,
};
use thunder_protocol::{Address, Input, PaymentId};

use crate::PeerId;
use crate::engine::Engine;
use crate::event::{InboundRequestId, OutboundRequestId};
use crate::outbox::Outbox;
use crate::storage::StorageError;
use crate::token_bucket::{HANDSHAKE_COST, REFUSAL_COST, UNKNOWN_CHANNEL_COST};

impl Engine {
    pub(crate) fn on_request(&mut self, peer: &PeerId, id: InboundRequestId, request: Request) {
        if self.peers.is_banned(peer) {
            return;
        }
        let response = match request {
            Request::Hello(hello) => {
                self.take_budget(peer, HANDSHAKE_COST);
                self.on_hello(peer, &hello)
            }
            Request::Prove(proof) => {
                self.take_budget(peer, HANDSHAKE_COST);
                self.on_prove(peer, &proof)
            }
            Request::Packet(packet) => match self.on_packet(peer, packet) {
                Ok(()) => {
                    // The response carries what there is to say once the batch is on disk.
                    self.batch.effects.inbound.push((peer.clone(), id));
                    return;
                }
                Err(error) => {
                    self.take_budget(peer, REFUSAL_COST);
                    Response::Error(error)
                }
            },
        };
        self.batch.effects.independent.responses.push((id, response));
    }

    pub(crate) fn on_response(&mut self, peer: &PeerId, id: OutboundRequestId, response: Response) {
        match response {
            // Without such a session the packet is dropped: there is nobody to send an error to.
            Response::Packet(packet) => drop(self.on_packet(peer, packet)),
            Response::Error(error) => self.on_refused(peer, id, error),
            handshake @ (Response::Welcome(_) | Response::Proved) => {
                self.on_handshake_response(peer, id, &handshake);
            }
        }
    }

    fn on_packet(&mut self, peer: &PeerId, packet: Packet) -> Result<(), WireError> {
        if packet.messages.len() > MAX_MESSAGES {
            return Err(WireError::TooLarge);
        }
        self.open_proved_session(peer, packet.session);
        let open = self.peers.connected.get(peer).and_then(|connected| connected.session.open());
        let open = open.filter(|open| open.id == packet.session).ok_or(WireError::NoSession)?;
        let is_unknown = |envelope: &Envelope| match envelope {
            Envelope::Channel { channel, .. } => self.channels.get(channel).is_none(),
            Envelope::UnknownChannel { .. } => true,
            Envelope::Open(_) => false,
        };
        if packet.messages.iter().any(is_unknown) {
            self.take_budget(peer, UNKNOWN_CHANNEL_COST);
            self.log_unknown_channel(&open.wallet, &packet.messages);
        }
        for envelope in packet.messages {
            if self.peers.is_banned(peer) {
                break;
            }
            match envelope {
                Envelope::Channel { channel, message } => {
                    self.on_channel_message(open.wallet, channel, message);
                }
                Envelope::Open(message) => self.on_open_message(open.wallet, message),
                Envelope::UnknownChannel { channel } => {
                    tracing::debug!(%channel, wallet = %open.wallet, "the other side does not know a channel");
                }
            }
        }
        Ok(())
    }

    /// Logs that the partner does not know a channel with it: one line for each packet.
    fn log_unknown_channel(&self, wallet: &Address, messages: &[Envelope]) {
        let known = self.channels.of_partner(wallet);
        let mut unknown = messages.iter().filter_map(|envelope| match envelope {
            Envelope::UnknownChannel { channel } => Some(channel).filter(|channel| known.contains(channel)),
            Envelope::Channel { .. } | Envelope::Open(_) => None,
        });
        if let Some(channel) = unknown.next() {
            tracing::warn!(%channel, %wallet, "the other side does not know the channel");
        }
    }

    /// A message of a channel has come in its session.
    fn on_channel_message(&mut self, partner: Address, channel: Address, message: Message) {
        let Some(entry) = self.channels.get(&channel) else {
            self.batch.effects.messages.push((partner, Envelope::UnknownChannel { channel }));
            return;
        };
        if entry.channel.setup().partner() != partner {
            let why = format!("a message for channel {channel}, which is not its own");
            self.batch.effects.misbehaviours.push((partner, why));
            return;
        }
        match self.repeated_ids(entry.row, &message) {
            Ok(repeated) => self.apply(channel, Input::Peer(PeerInput::Message { message, repeated })),
            Err(error) => self.fail_batch(channel, error),
        }
    }

    /// Which of the payments that a message brings were applied before.
    fn repeated_ids(&self, row: i64, message: &Message) -> Result<Vec<PaymentId>, StorageError> {
        let payments = match message {
            Message::Propose(propose) => propose.payments.as_slice(),
            Message::Sync(sync) => sync.proposal.as_ref().map_or(&[][..], |propose| &propose.payments),
            Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => &[],
        };
        let mut repeated = Vec::new();
        if payments.len() > MAX_PAYMENTS {
            return Ok(repeated); // no proposal has as many; the channel refuses it
        }
        for payment in payments {
            if self.batch_payments.has_of_partner(row, &payment.id)
                || self.disk.knows_payment_of_partner(row, &payment.id)?
            {
                repeated.push(payment.id.clone());
            }
        }
        Ok(repeated)
    }

    /// Adds a message about a channel to the batch. A sync replaces an earlier one of the same batch.
    pub(crate) fn push_message(&mut self, partner: Address, channel: Address, mut message: Message) {
        let messages = &mut self.batch.effects.messages;
        if let Message::Sync(sync) = &mut message {
            messages.retain(|(_, envelope)| match envelope {
                Envelope::Channel { channel: other, message: Message::Sync(earlier) }
                    if *other == channel =>
                {
                    sync.wants_reply |= earlier.wants_reply;
                    false
                }
                Envelope::Channel { .. } | Envelope::Open(_) | Envelope::UnknownChannel { .. } => true,
            });
        }
        messages.push((partner, Envelope::Channel { channel, message }));
    }

    /// Puts the messages into packets for each peer: into the response to its request where there is one.
    pub(crate) fn pack(
        &mut self,
        messages: Vec<(Address, Envelope)>,
        inbound: Vec<(PeerId, InboundRequestId)>,
        outbox: &mut Outbox,
    ) {
        let mut outgoing = self.fill_packets(messages);
        for (peer, id) in inbound {
            let open = self.peers.connected.get(&peer).and_then(|connected| connected.session.open());
            let response = match open {
                Some(open) => {
                    let position = outgoing.iter().position(|(to, _, _)| *to == peer);
                    let batch = position.map(|position| outgoing.remove(position).2).unwrap_or_default();
                    Response::Packet(Packet { session: open.id, messages: batch.into_messages() })
                }
                None => Response::Error(WireError::NoSession),
            };
            outbox.responses.push((id, response));
        }
        for (peer, session, batch) in outgoing {
            let packet = Packet { session, messages: batch.into_messages() };
            outbox.requests.push((self.next_outbound_id(), peer, Request::Packet(packet)));
        }
    }

    /// Packets of messages, in order, for the peers with which there is a session.
    fn fill_packets(&self, messages: Vec<(Address, Envelope)>) -> Vec<(PeerId, SessionId, PacketBuilder)> {
        let mut outgoing: Vec<(PeerId, SessionId, PacketBuilder)> = Vec::new();
        for (wallet, envelope) in messages {
            let Some(peer) = self.peers.by_wallet(&wallet) else { continue };
            let open = self.peers.connected.get(peer).and_then(|connected| connected.session.open());
            let Some(open) = open else { continue };
            let newest = outgoing.iter_mut().rev().find(|(to, _, _)| to == peer);
            let left = match newest {
                Some((_, _, batch)) => batch.push(envelope).err().map(|envelope| *envelope),
                None => Some(envelope),
            };
            if let Some(envelope) = left {
                let mut batch = PacketBuilder::default();
                if batch.push(envelope).is_ok() {
                    outgoing.push((peer.clone(), open.id, batch));
                }
            }
        }
        outgoing
    }
}
