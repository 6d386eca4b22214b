//! Session tickets: no session crosses from one trust to another.
//!
//! A ticket holds the client's chain, so whoever resumes with it is that client. Were one key to seal the tickets of two
//! hosts, a session of the one would bring its certificate to the other, unasked and unchecked by TLS. So there is a
//! key for each trust, shared by all threads of the process, whichever of them gets the next connection. The engine
//! verifies the certificate of a resumed connection like any other's.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::Error;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// Most bytes of a session that goes into a ticket. A ticket comes back in a ClientHello, and what waits there for the
/// acceptor is bounded as well; chains of more than this (four certificates as a rule) make full handshakes.
pub const MAX_SESSION_BYTES: usize = 6 * 1024;

/// Digest of a trust.
pub(super) type TrustKey = [u8; 32];

static OF_PROCESS: LazyLock<Mutex<HashMap<TrustKey, Arc<Tickets>>>> = LazyLock::new(Mutex::default);

/// What seals the tickets of a trust: AES-256 and HMAC, with keys of this process that change every six hours and open
/// tickets for twelve.
#[derive(Debug)]
struct Tickets(Arc<dyn ProducesTickets>);

/// The one of a trust. Those that no context uses any more are forgotten, when another is made.
pub(super) fn of(trust: TrustKey) -> Result<Arc<dyn ProducesTickets>, Error> {
    let mut kept = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(&trust) {
        return Ok(Arc::clone(known) as Arc<dyn ProducesTickets>);
    }
    kept.retain(|_, known| Arc::strong_count(known) > 1);
    let made = Arc::new(Tickets(Ticketer::new()?));
    kept.insert(trust, Arc::clone(&made));
    Ok(made)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > MAX_SESSION_BYTES { None } else { self.0.encrypt(session) }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}
