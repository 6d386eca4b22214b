//! Whatever the network does, `fast` admits no more than its policy and an advance of each node.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Call, Fallen, turn_us};
use super::server::Server;
use super::*;

const NODES: usize = 3;
/// Most that a request costs.
const COST: u64 = 2;
/// What a grant may be spent after the server has counted it.
const GRANT_US: u64 = 500_000;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Take {
        node: usize,
        requests: u32,
        cost: u64,
    },
    /// The node tells what it has to tell, if it does not wait for an answer.
    Send {
        node: usize,
    },
    Execute {
        which: usize,
    },
    /// An answer arrives; or the node hears of none, whether the call was executed or will be.
    Arrive {
        node: usize,
        lost: bool,
    },
    Kill {
        node: usize,
    },
    Restart {
        knows_birth: bool,
    },
    /// What was admitted goes back, because another limit refuses.
    GiveBack {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => prop_oneof![0..2_000_u64, 0..150_000_u64, 0..900_000_u64].prop_map(Step::Wait),
        8 => (node.clone(), 1..6_u32, 1..=COST).prop_map(|(node, requests, cost)| Step::Take { node, requests, cost }),
        7 => node.clone().prop_map(|node| Step::Send { node }),
        7 => (0..8_usize).prop_map(|which| Step::Execute { which }),
        7 => (node.clone(), prop::bool::weighted(0.15)).prop_map(|(node, lost)| Step::Arrive { node, lost }),
        1 => node.clone().prop_map(|node| Step::Kill { node }),
        1 => any::<bool>().prop_map(|knows_birth| Step::Restart { knows_birth }),
        2 => node.prop_map(|node| Step::GiveBack { node }),
    ]
}

struct Node {
    fleet: &'static Fleet,
    /// The call that it waits for, and what was answered.
    waits: Option<(usize, Option<Vec<u8>>)>,
    last: Option<Ask>,
}

struct Simulation {
    now_us: u64,
    limit: Ask,
    server: Server,
    nodes: Vec<Node>,
    started: usize,
    sent: usize,
    calls: Vec<(usize, Call)>,
    admitted: Admitted,
}

impl Simulation {
    fn new(limit: Ask) -> Simulation {
        let mut simulation = Simulation {
            now_us: 10_000_000,
            limit,
            server: Server::new(0),
            nodes: Vec::new(),
            started: 0,
            sent: 0,
            calls: Vec::new(),
            admitted: Admitted::default(),
        };
        for _ in 0..NODES {
            let node = simulation.node();
            simulation.nodes.push(node);
            simulation.first_contact(simulation.nodes.len() - 1);
        }
        simulation
    }

    fn node(&mut self) -> Node {
        self.started += 1;
        let fleet = fleet();
        fleet.settled(None, NODES as u32, self.now_us);
        Node { fleet, waits: None, last: None }
    }

    /// Asks for something that counts for nothing here.
    fn first_contact(&mut self, node: usize) {
        let other = Ask { key: Key([1, 2]), ..self.limit };
        assert!(self.nodes[node].fleet.take(&other, self.now_us).is_some());
        self.settle(node);
    }

    /// Without the network's tricks.
    fn settle(&mut self, node: usize) {
        self.server.now_us = self.now_us;
        let fleet = self.nodes[node].fleet;
        while let Some(call) = fleet.spent(self.now_us) {
            let reply = self.server.call(&call);
            fleet.settled(Some(&reply), NODES as u32, self.now_us);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Wait(us) => self.now_us += us,
            Step::Take { node, requests, cost } => {
                for _ in 0..requests {
                    self.take(node, cost);
                }
            }
            Step::Send { node } => {
                let node = &mut self.nodes[node];
                if node.waits.is_none()
                    && let Some(call) = node.fleet.spent(self.now_us)
                {
                    self.sent += 1;
                    node.waits = Some((self.sent, None));
                    self.calls.push((self.sent, call));
                }
            }
            Step::Execute { which } => {
                if self.calls.is_empty() {
                    return;
                }
                let (number, call) = self.calls.remove(which % self.calls.len());
                self.server.now_us = self.now_us;
                let reply = self.server.call(&call);
                let waits = self.nodes.iter_mut().filter_map(|node| node.waits.as_mut());
                if let Some((_, answer)) = waits.into_iter().find(|(waits, _)| *waits == number) {
                    *answer = Some(reply);
                }
            }
            Step::Arrive { node, lost } => {
                let node = &mut self.nodes[node];
                if lost && node.waits.take().is_some() {
                    node.fleet.settled(None, 0, self.now_us);
                } else if let Some((_, Some(reply))) = &node.waits {
                    node.fleet.settled(Some(reply), 0, self.now_us);
                    node.waits = None;
                }
            }
            Step::Kill { node } => {
                if self.server.knows() {
                    self.nodes[node] = self.node();
                    self.first_contact(node);
                }
            }
            Step::Restart { knows_birth } => {
                self.now_us += 1_000;
                self.server.restart(knows_birth);
            }
            Step::GiveBack { node } => {
                let node = &mut self.nodes[node];
                if let Some(ask) = node.last.take() {
                    node.fleet.give_back(&ask);
                    let place = self.admitted.0.iter().rposition(|(_, cost)| *cost == ask.cost);
                    // The last one of as much: the same node's, because nobody else has asked since.
                    self.admitted.0.remove(place.expect("it was admitted"));
                }
            }
        }
    }

    fn take(&mut self, node: usize, cost: u64) {
        let ask = Ask { cost, ..self.limit };
        for other in &mut self.nodes {
            other.last = None;
        }
        let fleet = self.nodes[node].fleet;
        match fleet.take(&ask, self.now_us) {
            Some(taken) if turn_us(taken, 0).is_some() => {
                self.admitted.add(self.now_us, cost);
                self.nodes[node].last = Some(ask);
            }
            Some(_) => {}
            None => {
                if let Fallen::Taken(taken) = fleet.fall_back(&ask, self.now_us)
                    && turn_us(taken, 0).is_some()
                {
                    self.admitted.add(self.now_us, cost);
                }
            }
        }
    }
}

fn limit(fallback: Fallback, algorithm: Algorithm, amount: u64, burst: u64, advance: u64) -> Ask {
    let mut limit = ask(SharingMode::Fast, fallback, quota(algorithm, amount, burst.min(amount), SECOND_US));
    limit.sharing.advance = advance.min(amount);
    limit
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Gcra), Just(Algorithm::SlidingWindow)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn closed_adds_an_advance_for_each_node(
        (algorithm, amount, burst, advance) in (algorithms(), 1..40_u64, 1..40_u64, 1..6_u64),
        steps in vec(step(), 1..200),
    ) {
        let limit = limit(Fallback::Closed, algorithm, amount, burst, advance);
        let mut simulation = Simulation::new(limit);
        for step in steps {
            simulation.run(step);
        }
        let advances = simulation.started as u64 * limit.sharing.advance.max(COST);
        let most = |span| policy(&limit.quota, span + GRANT_US) + advances;
        prop_assert_eq!(simulation.admitted.beyond(most), None);
    }

    #[test]
    fn local_adds_a_share_as_well(
        (algorithm, amount, burst, advance) in (algorithms(), 1..40_u64, 1..40_u64, 1..6_u64),
        steps in vec(step(), 1..200),
    ) {
        let limit = limit(Fallback::Local, algorithm, amount, burst, advance);
        let mut simulation = Simulation::new(limit);
        let mut restarts = 0;
        for step in steps {
            restarts += usize::from(matches!(step, Step::Restart { .. }));
            let again = matches!(step, Step::Restart { .. }) && restarts > 1;
            if !again && !matches!(step, Step::Kill { .. } | Step::GiveBack { .. }) {
                simulation.run(step);
            }
        }
        let nodes = NODES as u64;
        let most = |span| {
            policy(&limit.quota, span + GRANT_US) + nodes * (limit.sharing.advance.max(COST) + share(&limit.quota, nodes, span))
        };
        prop_assert_eq!(simulation.admitted.beyond(most), None);
    }
}

/// Requests of some nodes at nine tenths of the policy, evenly spread or in threes, settled every 100 ms.
fn refused(algorithm: Algorithm, nodes: u64, amount: u64, together: u64, advance: u64) -> u64 {
    let limit = limit(Fallback::Closed, algorithm, amount, amount, advance);
    let mut simulation = Simulation::new(limit);
    let mut refused = 0;
    let mut asked = 0;
    for tick in 0..400_u64 {
        simulation.run(Step::Wait(25_000));
        if tick % 4 == 0 {
            (0..nodes).for_each(|node| simulation.settle(node as usize));
        }
        while (asked + together) * 10 * SECOND_US <= 9 * amount * (tick + 1) * 25_000 {
            asked += together;
            let before = simulation.admitted.0.len() as u64;
            let node = (asked / together % nodes) as usize;
            simulation.run(Step::Take { node, requests: together as u32, cost: 1 });
            refused += together - (simulation.admitted.0.len() as u64 - before);
        }
    }
    assert!(asked > 8 * amount);
    refused
}

#[test]
fn nothing_is_refused_at_nine_tenths() {
    for (nodes, amount) in [(1, 20), (2, 20), (3, 20), (1, 100), (3, 100), (1, 400), (2, 400), (3, 400)] {
        for together in [1, 2] {
            let refused = refused(Algorithm::Gcra, nodes, amount, together, amount / 10);
            assert_eq!(refused, 0, "{nodes} nodes, {amount} a second, {together} at once");
        }
    }
}

#[test]
fn grants_carry_what_the_advance_does_not() {
    // 36 in the time between two settlings, and an advance of 4: the first ones have to wait for a grant.
    let refused = refused(Algorithm::Gcra, 1, 400, 1, 4);
    assert!((1..=64).contains(&refused), "{refused} of 3600");
}
