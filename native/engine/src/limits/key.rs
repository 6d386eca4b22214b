//! What a counter is called: a limit's name and what tells its counters apart, hashed with the installation's key.
//!
//! All nodes of a fleet have one key, so that they mean one counter; nobody without it can choose values that share a
//! counter with somebody else's.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::Key;
use crate::credentials::SessionKey;
use crate::rules::{Request, Scratch, Value};

/// What the hash's key is derived from the installation's for.
const PURPOSE: &str = "limits";

/// Makes the keys of one limit.
#[derive(Debug, Clone)]
pub struct Keys {
    /// It has the name already.
    begun: SipHasher24,
}

impl Keys {
    /// Of a limit by its name; the empty name is the quotas' of partners.
    #[must_use]
    pub fn new(key: &SessionKey, name: &str) -> Keys {
        let mut begun = SipHasher24::new_with_key(&key.derived(PURPOSE));
        begun.write(&(name.len() as u32).to_le_bytes());
        begun.write(name.as_bytes());
        Keys { begun }
    }

    /// `scratch` was begun for this request.
    pub fn of(&self, characteristics: &[Value], request: &Request<'_>, scratch: &mut Scratch) -> Key {
        let mut hasher = self.begun;
        for characteristic in characteristics {
            characteristic.feed(request, scratch, &mut hasher);
        }
        finish(&hasher)
    }

    /// Of one text.
    #[must_use]
    pub fn of_text(&self, text: &str) -> Key {
        let mut hasher = self.begun;
        hasher.write(&[1]);
        hasher.write(&(text.len() as u32).to_le_bytes());
        hasher.write(text.as_bytes());
        finish(&hasher)
    }
}

fn finish(hasher: &SipHasher24) -> Key {
    let hash = hasher.finish128();
    Key([hash.h1, hash.h2])
}
