//! Whatever the network does, `strict` admits no more than its policy over all nodes, by the server's time.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Call, Fallen, turn_us};
use super::server::Server;
use super::*;
use crate::limits::Taken;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    /// A node asks for so many requests, each of so much; the other limit holds for them too, or does not.
    Ask {
        node: usize,
        requests: u32,
        cost: u64,
        both: bool,
    },
    /// All that the node has gathered goes out.
    Send {
        node: usize,
    },
    /// The server executes one of the calls under way, whichever.
    Execute {
        which: usize,
    },
    /// One of its answers arrives, or is lost.
    Arrive {
        which: usize,
        lost: bool,
    },
    /// Time is up for a node's oldest batch.
    Over {
        node: usize,
    },
    /// The node is killed, and another started.
    Kill {
        node: usize,
    },
    Restart {
        knows_birth: bool,
    },
    Up {
        node: usize,
        up: bool,
    },
}

const NODES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => prop_oneof![0..2_000_u64, 0..400_000_u64].prop_map(Step::Wait),
        6 => (node.clone(), 1..4_u32, 1..3_u64, any::<bool>())
            .prop_map(|(node, requests, cost, both)| Step::Ask { node, requests, cost, both }),
        6 => node.clone().prop_map(|node| Step::Send { node }),
        8 => (0..8_usize).prop_map(|which| Step::Execute { which }),
        8 => ((0..8_usize), prop::bool::weighted(0.1)).prop_map(|(which, lost)| Step::Arrive { which, lost }),
        4 => node.clone().prop_map(|node| Step::Over { node }),
        1 => node.clone().prop_map(|node| Step::Kill { node }),
        1 => any::<bool>().prop_map(|knows_birth| Step::Restart { knows_birth }),
        1 => (node, any::<bool>()).prop_map(|(node, up)| Step::Up { node, up }),
    ]
}

struct Node {
    id: usize,
    fleet: &'static Fleet,
    asking: Asking,
    /// Batches under way, the oldest first, and their answers.
    batches: Vec<(u32, Vec<Waiter>, Option<Answered>)>,
    asks: Vec<Vec<Ask>>,
}

#[derive(Clone, Copy)]
struct Answered {
    server_us: u64,
    /// How old the server's memory is, when there was another before.
    young_us: Option<u64>,
    arrived_us: u64,
}

impl Answered {
    fn of(reply: &[u8], arrived_us: u64) -> Answered {
        let word = |at: usize| f64::from_le_bytes(reply[at..at + 8].try_into().unwrap());
        let (server_us, birth_us) = (word(0), word(8));
        let young_us = (birth_us < 0.0).then(|| (server_us + birth_us) as u64);
        Answered { server_us: server_us as u64, young_us, arrived_us }
    }

    /// When it counts: as the server has counted it; as the share has, if both do.
    fn counted_us(&self, quota: &Quota) -> u64 {
        if self.young_us.is_some_and(|young_us| young_us < quota.period_us) { self.arrived_us } else { self.server_us }
    }
}

struct Simulation {
    now_us: u64,
    limits: [Ask; 2],
    server: Server,
    nodes: Vec<Node>,
    started: usize,
    calls: Vec<(usize, u32, u32, Call)>,
    replies: Vec<(usize, u32, u32, Vec<u8>)>,
    admitted: [Admitted; 2],
    restarts: usize,
}

impl Simulation {
    fn new(limits: [Ask; 2]) -> Simulation {
        let mut simulation = Simulation {
            now_us: 10_000_000,
            limits,
            server: Server::new(0),
            nodes: Vec::new(),
            started: 0,
            calls: Vec::new(),
            replies: Vec::new(),
            admitted: Default::default(),
            restarts: 0,
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
        Node { id: self.started, fleet, asking: Asking::new(fleet), batches: Vec::new(), asks: Vec::new() }
    }

    /// Asks for something that counts for nothing here.
    fn first_contact(&mut self, node: usize) {
        let other = Ask { key: Key([1, 2]), ..self.limits[0] };
        let asking = &mut self.nodes[node].asking;
        assert!(asking.ask(Waiter { slot: u32::MAX, generation: 0 }, &[other]));
        let batch = asking.next().expect("a question");
        self.server.now_us = self.now_us;
        let reply = self.server.call(&batch.calls[0]);
        asking.answered(batch.number, 0, Some(&reply), self.now_us);
        asking.over(batch.number);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Wait(us) => self.now_us += us,
            Step::Ask { node, requests, cost, both } => {
                for _ in 0..requests {
                    let count = if both { 2 } else { 1 };
                    let asks: Vec<Ask> = self.limits[..count].iter().map(|ask| Ask { cost, ..*ask }).collect();
                    let node = &mut self.nodes[node];
                    let waiter = waiter(node.asks.len() as u32);
                    let taken = node.asking.ask(waiter, &asks);
                    node.asks.push(asks.clone());
                    if !taken {
                        let fleet = node.fleet;
                        self.decide(fleet, &asks, &vec![None; asks.len()], None);
                    }
                }
            }
            Step::Send { node } => {
                let Some(batch) = self.nodes[node].asking.next() else { return };
                let id = self.nodes[node].id;
                self.nodes[node].batches.push((batch.number, batch.waiters, None));
                let calls = batch.calls.into_iter().enumerate();
                self.calls.extend(calls.map(|(place, call)| (id, batch.number, place as u32, call)));
            }
            Step::Execute { which } => {
                if self.calls.is_empty() {
                    return;
                }
                let (id, number, place, call) = self.calls.remove(which % self.calls.len());
                self.server.now_us = self.now_us;
                self.replies.push((id, number, place, self.server.call(&call)));
            }
            Step::Arrive { which, lost } => {
                if self.replies.is_empty() {
                    return;
                }
                let (id, number, place, reply) = self.replies.remove(which % self.replies.len());
                if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
                    node.asking.answered(number, place, (!lost).then_some(&reply), self.now_us);
                    if let Some(batch) = node.batches.iter_mut().find(|batch| batch.0 == number) {
                        batch.2 = Some(Answered::of(&reply, self.now_us));
                    }
                }
            }
            Step::Over { node } => {
                if !self.nodes[node].batches.is_empty() {
                    self.over(node);
                }
            }
            Step::Kill { node } => {
                // Who knows of the loss is not killed before anybody has told.
                if self.server.knows() {
                    self.nodes[node] = self.node();
                    self.first_contact(node);
                }
            }
            Step::Restart { knows_birth } => {
                self.now_us += 1_000;
                self.server.restart(knows_birth);
                self.restarts += 1;
            }
            Step::Up { node, up } => self.nodes[node].asking.set_up(up),
        }
    }

    fn over(&mut self, node: usize) {
        let (number, waiters, answered) = self.nodes[node].batches.remove(0);
        for waiter in waiters {
            let at = &self.nodes[node];
            let fleet = at.fleet;
            let answers = at.asking.answers(waiter).expect("it waits").to_vec();
            let asks = at.asks[waiter.slot as usize].clone();
            if !self.decide(fleet, &asks, &answers, answered) {
                self.nodes[node].asking.give_back(waiter);
            }
        }
        self.nodes[node].asking.over(number);
    }

    /// As the stage does; whether the request passes.
    fn decide(&mut self, fleet: &Fleet, asks: &[Ask], answers: &[Option<Taken>], batch: Option<Answered>) -> bool {
        let answered: Vec<(Option<Taken>, u64)> = asks
            .iter()
            .zip(answers)
            .map(|(ask, answer)| match answer {
                Some(taken) => (Some(*taken), batch.map_or(self.now_us, |batch| batch.counted_us(&ask.quota))),
                None => match fleet.fall_back(ask, self.now_us) {
                    Fallen::Taken(taken) => (Some(taken), self.now_us),
                    Fallen::Open => (Some(Taken::Admitted { remaining: 0, reset_us: 0 }), self.now_us),
                    Fallen::Closed => (None, 0),
                },
            })
            .collect();
        let passes = answered.iter().all(|(taken, _)| taken.is_some_and(|taken| turn_us(taken, 0).is_some()));
        if passes {
            for (place, ((_, at_us), ask)) in answered.iter().zip(asks).enumerate() {
                self.admitted[place].add(*at_us, ask.cost);
            }
        }
        passes
    }

    fn beyond(&mut self, most: impl Fn(&Quota, u64) -> u64) -> Option<(u64, u64, u64, u64)> {
        let limits = self.limits;
        self.admitted.iter_mut().zip(limits).find_map(|(admitted, ask)| admitted.beyond(|span| most(&ask.quota, span)))
    }
}

fn limits(fallback: Fallback, algorithm: Algorithm, amount: u64, burst: u64) -> [Ask; 2] {
    let first = ask(SharingMode::Strict, fallback, quota(algorithm, amount, burst.min(amount), SECOND_US));
    let other = Quota { amount: amount + 3, burst: amount.div_ceil(2) + 1, period_us: 2 * SECOND_US, ..first.quota };
    [first, Ask { rule: 1, key: Key([3, 4]), quota: other, ..first }]
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Gcra), Just(Algorithm::SlidingWindow)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn closed_never_admits_more(
        (algorithm, amount, burst) in (algorithms(), 1..9_u64, 1..9_u64),
        steps in vec(step(), 1..160),
    ) {
        let mut simulation = Simulation::new(limits(Fallback::Closed, algorithm, amount, burst));
        for step in steps {
            simulation.run(step);
        }
        prop_assert_eq!(simulation.beyond(policy), None);
    }

    #[test]
    fn local_adds_a_share_for_each_node(
        (algorithm, amount, burst) in (algorithms(), 1..9_u64, 1..9_u64),
        steps in vec(step(), 1..160),
    ) {
        let mut simulation = Simulation::new(limits(Fallback::Local, algorithm, amount, burst));
        for step in steps {
            // One loss of memory; and shares die with their node.
            let again = matches!(step, Step::Restart { .. }) && simulation.restarts > 0;
            if !again && !matches!(step, Step::Kill { .. }) {
                simulation.run(step);
            }
        }
        let nodes = NODES as u64;
        prop_assert_eq!(simulation.beyond(|quota, span| policy(quota, span) + nodes * share(quota, nodes, span)), None);
    }

    #[test]
    fn open_adds_a_policy_for_each_loss_while_it_can_be_asked(
        (algorithm, amount, burst) in (algorithms(), 1..9_u64, 1..9_u64),
        steps in vec(step(), 1..160),
    ) {
        let mut simulation = Simulation::new(limits(Fallback::Open, algorithm, amount, burst));
        for step in steps {
            // Nothing is unanswered.
            if !matches!(step, Step::Up { .. } | Step::Arrive { lost: true, .. } | Step::Over { .. }) {
                simulation.run(step);
            }
        }
        for node in 0..NODES {
            while let Some(place) = simulation.nodes[node].batches.iter().position(|batch| batch.2.is_some()) {
                let batch = simulation.nodes[node].batches.remove(place);
                simulation.nodes[node].batches.insert(0, batch);
                simulation.over(node);
            }
        }
        let losses = simulation.restarts as u64;
        prop_assert_eq!(simulation.beyond(|quota, span| (losses + 1) * policy(quota, span)), None);
    }
}

#[test]
fn nothing_is_refused_that_fits() {
    // Ten requests of ten nodes at one moment, and one for each tenth of a second that passes.
    let [limit, _] = limits(Fallback::Closed, Algorithm::Gcra, 10, 10);
    let mut simulation = Simulation::new([limit; 2]);
    for second in 0..20 {
        for node in 0..NODES {
            simulation.run(Step::Ask { node, requests: 4, cost: 1, both: false });
            simulation.run(Step::Send { node });
            simulation.run(Step::Execute { which: 0 });
            simulation.run(Step::Arrive { which: 0, lost: false });
            simulation.run(Step::Over { node });
        }
        let admitted: u64 = simulation.admitted[0].0.iter().map(|(_, cost)| cost).sum();
        assert_eq!(admitted, 10 + second);
        simulation.run(Step::Wait(100_000));
    }
}
