//! The policy in force: one snapshot for the whole process.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_engine::jwt::KeySets;
use portcullis_engine::limits::shared::Fleet;
use portcullis_engine::meters;
use portcullis_engine::mtls::Standings;
use portcullis_engine::policy::{Policy, Problem};
use portcullis_engine::snapshot::Snapshot;
use serde::Serialize;

use crate::clock;

/// Before the first policy: no host, everything is 421.
static CURRENT: LazyLock<ArcSwap<Snapshot>> = LazyLock::new(|| {
    let empty = Snapshot::compile(&Policy::default(), 0, 0);
    ArcSwap::from_pointee(empty.unwrap_or_else(|problems| panic!("the empty policy has problems: {problems:?}")))
});
/// One compilation at a time: generations are given in order.
static COMPILING: Mutex<()> = Mutex::new(());

pub fn current() -> &'static ArcSwap<Snapshot> {
    &CURRENT
}

#[derive(Serialize)]
pub struct Compiled {
    generation: u64,
    problems: Vec<Problem>,
}

/// Compiles a policy; with `activate` and without problems it is in force for every request that starts from now on.
pub fn compile(policy: &str, activate: bool) -> Compiled {
    let _guard = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = CURRENT.load().generation;
    let policy: Policy = match serde_json::from_str(policy) {
        Ok(policy) => policy,
        Err(error) => {
            let message = format!("the policy handed to the engine is not what it expects: {error}");
            return Compiled {
                generation,
                problems: vec![Problem { at: String::new(), span: None, message, hint: None }],
            };
        }
    };
    match Snapshot::compile(&policy, clock::now().unix_ms / 1000, generation + 1) {
        Err(problems) => Compiled { generation, problems },
        Ok(_) if !activate => Compiled { generation, problems: Vec::new() },
        Ok(snapshot) => {
            Standings::of_process().keep_only(snapshot.authorities.iter().map(|authority| &**authority));
            let snapshot = Arc::new(snapshot);
            // What was counted by the places of limits, while they are known.
            meters::limits::gather(&CURRENT.load());
            CURRENT.store(snapshot.clone());
            Fleet::of_process(snapshot.limits.entries).named(&policy.limits.shared);
            let fetched = snapshot.jwt.iter().filter_map(|known| Some((&*known.name, known.url()?)));
            KeySets::of_process().keep_only(fetched);
            Compiled { generation: generation + 1, problems: Vec::new() }
        }
    }
}
