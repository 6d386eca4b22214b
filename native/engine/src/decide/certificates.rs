//! Certificates that a thread's connections brought, each read once for all connections of a client.

use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use super::Known;
use crate::mtls::Certificate;

/// Most bytes of a thread's: some 10,000 clients. Anybody can bring certificates that nobody issued, so bytes are what
/// is counted; and what is asked for again stays, however many come once.
const MAX_BYTES: u64 = if cfg!(test) { 128 * 1024 } else { 40 * 1024 * 1024 };
/// What one takes besides its DER: names and fields once they are read, verdicts, headers for origins.
const ENTRY_BYTES: usize = 3 * 1024;
/// How many that are, about.
const ENTRIES: usize = 10_000;

/// Bounded; one per edge thread.
pub struct Certificates {
    /// By the digest of the whole chain: what one chain is worth is never told of another with the same leaf.
    known: Cache<[u8; 32], (Rc<Known>, usize), Weight, RandomState>,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<[u8; 32], (Rc<Known>, usize)> for Weight {
    fn weight(&self, _: &[u8; 32], (_, bytes): &(Rc<Known>, usize)) -> u64 {
        // Issuers are kept with their bytes as they came, and once more as they were read.
        (ENTRY_BYTES + 2 * bytes) as u64
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        let (hasher, lifecycle) = (RandomState::default(), DefaultLifecycle::default());
        Certificates { known: Cache::with(ENTRIES, MAX_BYTES, Weight, hasher, lifecycle) }
    }
}

impl Certificates {
    /// The certificate of a chain as TLS has it: DER, the client's own first. None when it is empty. `parsed` is called
    /// when it had to be read.
    pub fn of(&mut self, chain: &[Vec<u8>], parsed: impl FnOnce()) -> Option<Rc<Known>> {
        let (leaf, sent) = chain.split_first()?;
        let mut digest = Context::new(&SHA256);
        for der in chain {
            digest.update(&(der.len() as u64).to_be_bytes());
            digest.update(der);
        }
        let key: [u8; 32] = digest.finish().as_ref().try_into().ok()?;
        if let Some((known, _)) = self.known.get(&key) {
            return Some(Rc::clone(known));
        }
        parsed();
        let known = Rc::new(Known::new(Arc::new(Certificate::from_chain(leaf, sent))));
        self.known.insert(key, (Rc::clone(&known), chain.iter().map(Vec::len).sum()));
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(leaf: u8, sent: &[u8]) -> Vec<Vec<u8>> {
        [leaf].iter().chain(sent).map(|&byte| vec![byte; 1024]).collect()
    }

    #[test]
    fn the_same_chain_is_read_once_and_another_one_of_the_leaf_is_another_certificate() {
        let (mut certificates, mut parsed) = (Certificates::default(), 0);
        let first = certificates.of(&chain(1, &[2, 3]), || parsed += 1).unwrap();
        assert!(Rc::ptr_eq(&first, &certificates.of(&chain(1, &[2, 3]), || parsed += 1).unwrap()));
        for other in [chain(1, &[]), chain(1, &[2]), chain(1, &[3, 2]), chain(2, &[2, 3])] {
            assert!(!Rc::ptr_eq(&first, &certificates.of(&other, || parsed += 1).unwrap()));
        }
        let joined = vec![vec![1; 1024], [[2; 1024], [3; 1024]].concat()];
        assert!(!Rc::ptr_eq(&first, &certificates.of(&joined, || parsed += 1).unwrap()));
        assert_eq!(parsed, 6);
        assert!(certificates.of(&[], || unreachable!()).is_none());
    }

    #[test]
    fn a_flood_of_chains_takes_bounded_memory_and_leaves_who_comes_again() {
        let mut certificates = Certificates::default();
        let regular = chain(0, &[]);
        let mut first = certificates.of(&regular, || ()).unwrap();
        let mut again = 0;
        for number in 0..2_000_u32 {
            certificates.of(&[number.to_be_bytes().repeat(1024)], || ());
            if number % 5 == 0 {
                let now = certificates.of(&regular, || ()).unwrap();
                again += u32::from(Rc::ptr_eq(&first, &now));
                first = now;
            }
        }
        assert!(certificates.known.weight() <= MAX_BYTES);
        assert!(again > 390, "{again} of 400");
    }
}
