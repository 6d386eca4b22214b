//! What the exchanges of one edge thread ask, gathered for a turn of its loop.
//!
//! A question is written into its call as it comes. All questions of an exchange go with one batch, and it has its
//! answers when the batch has them. Three kinds of records ride along for which nobody waits: what is counted by its
//! answer, sent again until it was acknowledged (rather twice than never); and what goes back, sent once (rather never
//! than twice).

use std::collections::VecDeque;
use std::mem;

use foldhash::HashMap;

use super::record::{self, Act, HEAD_BYTES, Reply};
use super::{Ask, Fleet, turn_us};
use crate::limits::Taken;

/// Of a call: the server does nothing else meanwhile, at some 3 us a record.
pub const MAX_RECORDS: usize = 512;
/// Of a thread, under way at once: some 20 MB. Who comes then falls back.
const MAX_ASKED: usize = 65_536;
/// Of a thread, records that nobody waits for. What does not fit is not told.
const MAX_TOLD: usize = 8_192;
/// Batches whose memory is kept for the next ones.
const MAX_SPARE: usize = 8;

/// An exchange: its slot, and what tells it from those before and after in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    pub slot: u32,
    pub generation: u32,
}

/// What is asked at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    pub number: u32,
    pub calls: Vec<Call>,
    /// Exchanges that have all their answers when all calls are answered or given up.
    pub waiters: Vec<Waiter>,
}

/// One call of the function.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The partition's birth first, then one for each record.
    pub keys: Vec<String>,
    pub records: Vec<u8>,
}

/// Of one edge thread.
#[derive(Debug)]
pub struct Asking {
    fleet: &'static Fleet,
    up: bool,
    /// Takes questions.
    open: Gathered,
    /// Full, and not asked yet.
    closed: VecDeque<Gathered>,
    asked: HashMap<u32, Gathered>,
    number: u32,
    /// By slot: generation, batch and place in it.
    waiting: HashMap<u32, (u32, u32, u32)>,
    /// Questions in all batches, and records that nobody waits for.
    questions: usize,
    told: usize,
    spare: Vec<Gathered>,
}

/// A batch, from its first question until it is over.
#[derive(Debug, Default)]
struct Gathered {
    number: u32,
    parts: Vec<Part>,
    exchanges: Vec<Waiting>,
    questions: Vec<Question>,
    /// By question.
    answers: Vec<Option<Taken>>,
}

/// A call.
#[derive(Debug, Default)]
struct Part {
    partition: usize,
    keys: Vec<String>,
    records: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Question(u32),
    Spend(Box<Ask>),
    GiveBack,
}

#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    first: usize,
    count: usize,
}

#[derive(Debug)]
struct Question {
    ask: Ask,
    /// When the server has taken it, by its time.
    taken_us: Option<f64>,
}

impl Asking {
    #[must_use]
    pub fn new(fleet: &'static Fleet) -> Asking {
        Asking {
            fleet,
            up: true,
            open: Gathered::default(),
            closed: VecDeque::new(),
            asked: HashMap::default(),
            number: 0,
            waiting: HashMap::default(),
            questions: 0,
            told: 0,
            spare: Vec::new(),
        }
    }

    /// While not, [`Asking::ask`] answers at once that nobody can be asked.
    pub fn set_up(&mut self, up: bool) {
        self.up = up;
    }

    /// Takes an exchange's questions (mode `strict`) into the next batch. Whether it did: else all of them fall back.
    #[must_use]
    pub fn ask(&mut self, waiter: Waiter, asks: &[Ask]) -> bool {
        if !self.up || self.questions + asks.len() > MAX_ASKED || asks.len() > MAX_RECORDS {
            return false;
        }
        let names = self.fleet.names();
        if !self.open.has_room_for(asks, names.cluster) {
            self.close();
        }
        let open = &mut self.open;
        let first = open.questions.len();
        for ask in asks {
            let act = if ask.peek { Act::Peek } else { Act::Take { delay_us: ask.delay_us } };
            let number = u32::try_from(open.questions.len()).expect("MAX_ASKED");
            open.questions.push(Question { ask: *ask, taken_us: None });
            open.answers.push(None);
            open.part(record::partition(ask.key, names.cluster)).push(&names.prefix, ask, act, Row::Question(number));
        }
        let place = u32::try_from(open.exchanges.len()).expect("MAX_ASKED");
        open.exchanges.push(Waiting { waiter, first, count: asks.len() });
        self.waiting.insert(waiter.slot, (waiter.generation, open.number, place));
        self.questions += asks.len();
        self.fleet.statistics().asked(asks.len());
        true
    }

    /// Spends whatever is left; for what is counted by its answer. Nobody waits; on the share while nobody can be asked.
    pub fn spend(&mut self, ask: &Ask, now_us: u64) {
        if self.up {
            self.tell(ask, Act::Spend, Row::Spend(Box::new(*ask)));
        } else {
            self.fleet.spend_share(ask, now_us);
        }
    }

    /// Whether [`Asking::next`] has something.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.closed.is_empty() || if self.up { !self.open.parts.is_empty() } else { !self.open.exchanges.is_empty() }
    }

    /// What is to be asked now; what did not fit follows in the next. While nobody can be asked it has no calls.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "None is not its end")]
    pub fn next(&mut self) -> Option<Batch> {
        if !self.is_pending() {
            return None;
        }
        if self.closed.is_empty() {
            self.close();
        }
        let mut gathered = self.closed.pop_front()?;
        let waiters = gathered.exchanges.iter().map(|waiting| waiting.waiter).collect();
        let number = gathered.number;
        let calls = if self.up {
            gathered.parts.iter_mut().map(|part| part.call(self.fleet)).collect()
        } else {
            let parts = mem::take(&mut gathered.parts);
            parts.into_iter().for_each(|part| self.unanswered(part.rows));
            Vec::new()
        };
        self.asked.insert(number, gathered);
        Some(Batch { number, calls, waiters })
    }

    /// What was answered to a call (by its place) of a batch; None: nobody answered.
    pub fn answered(&mut self, number: u32, call: u32, reply: Option<&[u8]>, now_us: u64) {
        let Some(gathered) = self.asked.get_mut(&number) else { return };
        let Some(part) = gathered.parts.get_mut(call as usize) else { return };
        // Once: what comes again finds nothing to answer.
        let rows = mem::take(&mut part.rows);
        let partition = part.partition;
        let Some(reply) = reply.and_then(|reply| Reply::read(reply, rows.len())) else {
            return self.unanswered(rows);
        };
        self.fleet.heard(partition, &reply, now_us);
        let mut returned = Vec::new();
        for (place, row) in rows.into_iter().enumerate() {
            let Row::Question(index) = row else {
                self.told -= 1;
                continue;
            };
            let question = &mut gathered.questions[index as usize];
            let ask = question.ask;
            let Some(taken) = reply.taken(place, &ask) else { continue };
            let answer = &mut gathered.answers[index as usize];
            *answer = Some(taken);
            let Some(wait_us) = turn_us(taken, ask.delay_us) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "at most a delay")]
            let at_us = reply.now_us + wait_us as f64;
            if reply.forgot(&ask.quota) {
                *answer = self.fleet.also(&ask, taken, now_us);
                if answer.is_none_or(|both| turn_us(both, ask.delay_us).is_none()) {
                    if !ask.peek {
                        returned.push((ask, at_us));
                    }
                    continue;
                }
            }
            question.taken_us = (!ask.peek).then_some(at_us);
        }
        for (ask, at_us) in returned {
            self.tell(&ask, Act::GiveBack { at_us }, Row::GiveBack);
        }
    }

    /// By each question of the exchange, in their order; for `decide::asked`. One that is `Refused` for no longer than
    /// its `delay_us`, without penalty, was spent: its turn comes then. None: this exchange has asked nothing.
    #[must_use]
    pub fn answers(&self, waiter: Waiter) -> Option<&[Option<Taken>]> {
        let (gathered, waiting) = self.find(waiter)?;
        gathered.answers.get(waiting.first..waiting.first + waiting.count)
    }

    /// The exchange is refused after all: what the fleet has taken for it goes back with the next batch. Before the batch is
    /// over.
    pub fn give_back(&mut self, waiter: Waiter) {
        let Some(&(_, number, place)) = self.waiting.get(&waiter.slot).filter(|known| known.0 == waiter.generation)
        else {
            return;
        };
        let Some(gathered) = self.asked.get_mut(&number) else { return };
        let Some(waiting) = gathered.exchanges.get(place as usize) else { return };
        let questions = &mut gathered.questions[waiting.first..waiting.first + waiting.count];
        let returned: Vec<_> =
            questions.iter_mut().filter_map(|question| Some((question.ask, question.taken_us.take()?))).collect();
        for (ask, at_us) in returned {
            self.tell(&ask, Act::GiveBack { at_us }, Row::GiveBack);
        }
    }

    /// All of the batch's exchanges have been told; its number may come again.
    pub fn over(&mut self, number: u32) {
        let Some(mut gathered) = self.asked.remove(&number) else { return };
        for part in mem::take(&mut gathered.parts) {
            self.unanswered(part.rows);
        }
        self.questions -= gathered.questions.len();
        for (place, Waiting { waiter, .. }) in gathered.exchanges.iter().enumerate() {
            if self.waiting.get(&waiter.slot) == Some(&(waiter.generation, number, place as u32)) {
                self.waiting.remove(&waiter.slot);
            }
        }
        if self.spare.len() < MAX_SPARE {
            gathered.exchanges.clear();
            gathered.questions.clear();
            gathered.answers.clear();
            self.spare.push(gathered);
        }
    }

    fn find(&self, waiter: Waiter) -> Option<(&Gathered, &Waiting)> {
        let (_, number, place) = self.waiting.get(&waiter.slot).filter(|known| known.0 == waiter.generation)?;
        let gathered = self.asked.get(number)?;
        Some((gathered, gathered.exchanges.get(*place as usize)?))
    }

    /// A record that nobody waits for.
    fn tell(&mut self, ask: &Ask, act: Act, row: Row) {
        if self.told >= MAX_TOLD {
            self.fleet.statistics().untold();
            return;
        }
        let names = self.fleet.names();
        if !self.open.has_room_for(std::slice::from_ref(ask), names.cluster) {
            self.close();
        }
        self.open.part(record::partition(ask.key, names.cluster)).push(&names.prefix, ask, act, row);
        self.told += 1;
    }

    /// Of a call that nobody answered.
    fn unanswered(&mut self, rows: Vec<Row>) {
        for row in rows {
            match row {
                // Its answer stays None.
                Row::Question(_) => {}
                Row::Spend(ask) => {
                    self.told -= 1;
                    self.tell(&ask, Act::Spend, Row::Spend(ask.clone()));
                }
                Row::GiveBack => self.told -= 1,
            }
        }
    }

    /// The next questions go into another batch.
    fn close(&mut self) {
        self.number = self.number.wrapping_add(1);
        let mut next = self.spare.pop().unwrap_or_default();
        next.number = self.number;
        self.closed.push_back(mem::replace(&mut self.open, next));
    }
}

impl Gathered {
    fn part(&mut self, partition: usize) -> &mut Part {
        let place = self.parts.iter().position(|part| part.partition == partition).unwrap_or_else(|| {
            self.parts.push(Part { partition, ..Part::default() });
            self.parts.len() - 1
        });
        &mut self.parts[place]
    }

    fn has_room_for(&self, asks: &[Ask], cluster: bool) -> bool {
        self.parts.iter().all(|part| {
            let more = asks.iter().filter(|ask| record::partition(ask.key, cluster) == part.partition).count();
            part.rows.len() + more <= MAX_RECORDS
        })
    }
}

impl Part {
    fn push(&mut self, prefix: &str, ask: &Ask, act: Act, row: Row) {
        if self.keys.is_empty() {
            self.keys.push(record::birth_key(prefix, self.partition));
            self.records.resize(HEAD_BYTES, 0);
        }
        self.keys.push(record::counter_key(prefix, self.partition, ask.key));
        record::write(&mut self.records, act, &ask.quota, ask.cost, 0);
        self.rows.push(row);
    }

    fn call(&mut self, fleet: &Fleet) -> Call {
        self.records[..HEAD_BYTES].copy_from_slice(&fleet.birth_us(self.partition).to_le_bytes());
        Call { keys: mem::take(&mut self.keys), records: mem::take(&mut self.records) }
    }
}
