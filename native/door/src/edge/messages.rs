//! Bodies of calls whose messages are looked at: what is found good goes on, the rest waits or ends the call.

use portcullis_engine::decide::{self, Messages, Outcome};
use portcullis_engine::reason::Reason;
use portcullis_forward::{Flow, Token};

use super::{Edge, Next, Stage};
use crate::clock;

impl Edge {
    /// A piece that is waited for before the head goes on.
    pub(super) fn first_messages(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        slot.exchange.limited.now_us = clock::mono_us();
        let outcome = decide::first_messages(&mut slot.exchange, peer, piece, last, &mut slot.body);
        slot.complete = last;
        if outcome == Outcome::Inspect {
            return Next::Sent;
        }
        slot.exchange.upload_us += clock::mono_us().saturating_sub(slot.waiting_us);
        self.proceed(index, outcome)
    }

    /// A piece that comes while its exchange waits for others.
    pub(super) fn meanwhile_messages(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        slot.exchange.limited.now_us = clock::mono_us();
        match decide::messages(&mut slot.exchange, peer, piece, last) {
            Messages::On(from, to) => {
                slot.body.extend_from_slice(slot.exchange.call.as_ref().map_or(&[], |call| call.whole()));
                self.wait_with(index, &piece[from..to], last)
            }
            Messages::Deny => self.answer(index),
        }
    }

    /// A piece of a call that is on its way.
    pub(super) fn messages(&mut self, index: u32, piece: &[u8], last: bool) -> Next {
        let slot = &mut self.slots[index as usize];
        let Some(peer) = self.connections.get(&slot.connection).and_then(|known| known.peer.as_deref()) else {
            return Next::Close;
        };
        let now_us = clock::mono_us();
        slot.exchange.limited.now_us = now_us;
        let token = Token { slot: index, generation: slot.generation };
        match decide::messages(&mut slot.exchange, peer, piece, last) {
            Messages::On(from, to) => {
                if last {
                    slot.exchange.upload_us += now_us.saturating_sub(slot.waiting_us);
                }
                let whole = slot.exchange.call.as_ref().map_or(&[][..], |call| call.whole());
                let mut client = self.client.client();
                let mut flow = Flow::Continue;
                if !whole.is_empty() {
                    flow = client.body(token, whole, false);
                }
                if (from < to || last) && client.body(token, &piece[from..to], last) == Flow::Pause {
                    flow = Flow::Pause;
                }
                if flow == Flow::Pause { Next::Pause } else { Next::Sent }
            }
            Messages::Deny => self.denied_amid(index, token),
        }
    }

    /// The exchange's denial ends a call whose head has gone on.
    fn denied_amid(&mut self, index: u32, token: Token) -> Next {
        let slot = &mut self.slots[index as usize];
        // What still comes goes nowhere.
        slot.exchange.call = None;
        let reason = slot.exchange.denial.as_ref().map_or(Reason::InternalPanic, |denial| denial.reason);
        if slot.stage == Stage::Answering {
            return self.break_off(token, reason);
        }
        self.client.client().cancel(token);
        self.answer(index)
    }
}
