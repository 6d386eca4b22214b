//! The functions of src/check/limits/functions.ts, as a model: the same words in, the same words out.

use std::collections::HashMap;

use super::super::Call;

const ROUNDING: f64 = 1.0 + 1.0 / (1_u64 << 50) as f64;

/// One server, all partitions.
#[derive(Debug)]
pub struct Server {
    pub now_us: u64,
    started_us: Option<f64>,
    /// By key: when, and whether there was one before.
    births: HashMap<String, (f64, bool)>,
    states: HashMap<String, (State, u64)>,
}

#[derive(Debug, Clone)]
struct State {
    counted: Counted,
    penalty_ends: f64,
}

#[derive(Debug, Clone)]
enum Counted {
    /// When all has come back: whole microseconds, and the rest.
    Bucket { whole: f64, part: f64 },
    /// Eighths of the period, the newest last.
    Window { t: f64, newest: f64, counts: [f64; 9] },
}

impl Server {
    pub fn new(now_us: u64) -> Server {
        Server { now_us, started_us: None, births: HashMap::new(), states: HashMap::new() }
    }

    /// Starts again, and knows nothing of before; `knows_birth`: but that there was something.
    pub fn restart(&mut self, knows_birth: bool) {
        self.states.clear();
        self.started_us = None;
        if !knows_birth {
            self.births.clear();
        }
    }

    /// Whether everybody who asks is told that something was lost, if something was.
    pub fn knows(&self) -> bool {
        !self.births.is_empty() && self.started_us.is_some()
    }

    pub fn call(&mut self, call: &Call) -> Vec<u8> {
        let words: Vec<f64> =
            call.records.chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words.len(), 1 + 8 * (call.keys.len() - 1), "a record for each key");
        let now = self.now_us as f64;
        let mut reply = vec![now, self.birth(&call.keys[0], words[0], now)];
        for (key, record) in call.keys[1..].iter().zip(words[1..].chunks_exact(8)) {
            let birth = reply[1].abs();
            reply.extend(self.record(key, record.try_into().unwrap(), now, birth));
        }
        reply.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Negative: there was one before.
    fn birth(&mut self, key: &str, known: f64, now: f64) -> f64 {
        let started = *self.started_us.get_or_insert(now);
        let (stored, mut lost) = self.births.get(key).copied().unwrap_or((now, false));
        lost |= stored < started;
        let birth = stored.max(started);
        lost |= known > 0.0 && known < birth;
        self.births.insert(key.to_owned(), (birth, lost));
        if lost { -birth } else { birth }
    }

    fn record(&mut self, key: &str, record: [f64; 8], now: f64, birth: f64) -> [f64; 3] {
        let [kind, t, tolerance, cost, penalty, ttl_ms, a, b] = record;
        let longest = ttl_ms * 1000.0;
        let by_window = kind % 2.0 == if kind < 9.0 { 0.0 } else { 1.0 };
        if kind == 9.0 {
            self.states.remove(key);
            return [0.0; 3];
        }
        let mut state = self.read(key, by_window, now, t, longest);
        let answer = match kind as u32 {
            1..=4 => state.take(kind < 3.0, now, t, tolerance, cost, penalty, a),
            5 | 6 => state.spend_anyway(now, t, tolerance, cost, penalty),
            7 | 8 => {
                if a >= birth {
                    state.give_back(now, t, cost, a);
                }
                0.0
            }
            20 | 21 => {
                let answer = state.settle(now, t, tolerance, cost, a, b);
                self.keep(key, state, now, longest);
                return answer;
            }
            _ => panic!("a record of a kind that is not known"),
        };
        let penalty_left = state.penalty_ends - now;
        let told = if penalty_left > 0.0 {
            [answer, 0.0, penalty_left]
        } else {
            [answer, state.free(now, t, tolerance), state.reset(now)]
        };
        self.keep(key, state, now, longest);
        told
    }

    fn read(&self, key: &str, by_window: bool, now: f64, t: f64, longest: f64) -> State {
        let kept = self.states.get(key).filter(|(_, ends_us)| self.now_us < *ends_us).map(|(state, _)| state.clone());
        let penalty_ends = kept.as_ref().map_or(0.0, |state| state.penalty_ends.min(now + longest));
        let counted = match kept.map(|state| state.counted) {
            Some(Counted::Bucket { whole, part }) if !by_window && whole >= now => {
                if whole - now > longest {
                    Counted::Bucket { whole: now + longest, part: 0.0 }
                } else {
                    Counted::Bucket { whole, part }
                }
            }
            Some(window @ Counted::Window { .. }) if by_window => window,
            _ if by_window => Counted::Window { t, newest: (now / t).floor(), counts: [0.0; 9] },
            _ => Counted::Bucket { whole: now, part: 0.0 },
        };
        let mut state = State { counted, penalty_ends };
        state.advance((now / t).floor());
        state
    }

    fn keep(&mut self, key: &str, state: State, now: f64, longest: f64) {
        let left = state.reset(now).max(state.penalty_ends - now).min(longest);
        if left > 0.0 {
            let ends_us = self.now_us + 1000 * ((left / 1000.0).ceil() as u64).max(1);
            self.states.insert(key.to_owned(), (state, ends_us));
        } else {
            self.states.remove(key);
        }
    }
}

impl State {
    /// 0, or how long to wait; negative in penalty.
    #[expect(clippy::too_many_arguments, reason = "the words of a record")]
    fn take(&mut self, spends: bool, now: f64, t: f64, tolerance: f64, cost: f64, penalty: f64, delay: f64) -> f64 {
        if self.penalty_ends > now {
            return now - self.penalty_ends;
        }
        let wait = self.wait(now, t, tolerance, cost);
        if let Some(wait) = wait.filter(|wait| *wait <= delay) {
            if spends {
                self.spend(now, t, cost, wait);
            }
            return wait;
        }
        if penalty > 0.0 {
            self.penalty_ends = now + penalty;
            return -penalty;
        }
        wait.unwrap_or_else(|| self.reset(now).max(1.0))
    }

    fn spend_anyway(&mut self, now: f64, t: f64, tolerance: f64, cost: f64, penalty: f64) -> f64 {
        self.spend(now, t, cost, 0.0);
        let over_us = match self.over(now, t, tolerance) {
            over if over > 0.0 => self.wait(now, t, tolerance, 0.0).unwrap_or(1.0).max(1.0),
            _ => 0.0,
        };
        if self.penalty_ends <= now && over_us > 0.0 && penalty > 0.0 {
            self.penalty_ends = now + penalty;
        }
        if self.penalty_ends > now { now - self.penalty_ends } else { over_us }
    }

    fn settle(&mut self, now: f64, t: f64, tolerance: f64, spent: f64, want: f64, penalty: f64) -> [f64; 3] {
        if spent > 0.0 {
            self.spend(now, t, spent, 0.0);
        }
        if self.penalty_ends <= now && penalty > 0.0 {
            self.penalty_ends = now + penalty;
        }
        let over = self.over(now, t, tolerance);
        if self.penalty_ends > now {
            let told = if over > 0.0 { over } else { -self.free(now, t, tolerance) };
            return [0.0, told, now - self.penalty_ends];
        }
        let granted = want.min(self.free(now, t, tolerance));
        if granted > 0.0 {
            self.spend(now, t, granted, 0.0);
        }
        let told = if over > 0.0 { over } else { -self.free(now, t, tolerance) };
        [granted, told, self.wait(now, t, tolerance, 1.0).unwrap_or(0.0)]
    }

    fn spend(&mut self, now: f64, eighth: f64, cost: f64, wait: f64) {
        self.advance(((now + wait) / eighth).floor());
        match &mut self.counted {
            Counted::Bucket { whole, part } => {
                let sum = *part + cost * eighth;
                (*whole, *part) = (*whole + sum.floor(), sum - sum.floor());
                if *whole < now {
                    (*whole, *part) = (now, 0.0);
                }
            }
            Counted::Window { counts, .. } => counts[8] += cost,
        }
    }

    fn give_back(&mut self, now: f64, t: f64, cost: f64, at: f64) {
        match &mut self.counted {
            Counted::Bucket { whole, part } => {
                let sum = *part - (cost * t - (now - at).max(0.0)).max(0.0);
                (*whole, *part) = (*whole + sum.floor(), sum - sum.floor());
                if *whole < now {
                    (*whole, *part) = (now, 0.0);
                }
            }
            Counted::Window { newest, counts, .. } => {
                let place = 8.0 - (*newest - (at / t).floor());
                if (0.0..9.0).contains(&place) {
                    counts[place as usize] = (counts[place as usize] - cost).max(0.0);
                }
            }
        }
    }

    fn advance(&mut self, eighth: f64) {
        if let Counted::Window { newest, counts, .. } = &mut self.counted
            && eighth > *newest
        {
            let by = (eighth - *newest).min(9.0) as usize;
            counts.copy_within(by.., 0);
            counts[9 - by..].fill(0.0);
            *newest = eighth;
        }
    }

    /// None: never.
    fn wait(&self, now: f64, t: f64, tolerance: f64, cost: f64) -> Option<f64> {
        match self.counted {
            Counted::Bucket { whole, part } => {
                let over = whole - now + part + cost * t;
                match over <= tolerance * ROUNDING {
                    true => Some(0.0),
                    false => (cost * t <= tolerance * ROUNDING).then(|| (over - tolerance).max(1.0)),
                }
            }
            Counted::Window { t, newest, counts } => {
                let ahead = newest * t - now;
                (0..=9).find(|gone| counts[*gone..].iter().sum::<f64>() + cost <= tolerance).map(|gone| match gone {
                    0 => ahead.max(0.0),
                    gone => ahead + gone as f64 * t,
                })
            }
        }
    }

    /// Units beyond the policy.
    fn over(&self, now: f64, t: f64, tolerance: f64) -> f64 {
        match &self.counted {
            Counted::Bucket { whole, part } => {
                let over = whole - now + part - tolerance;
                if over <= tolerance * (ROUNDING - 1.0) { 0.0 } else { (over / t).ceil() }
            }
            Counted::Window { counts, .. } => (counts.iter().sum::<f64>() - tolerance).max(0.0),
        }
    }

    /// Whole units that fit.
    fn free(&self, now: f64, t: f64, tolerance: f64) -> f64 {
        match &self.counted {
            Counted::Bucket { whole, part } => {
                let backlog = whole - now + part;
                let units = ((tolerance - backlog) / t).floor().max(0.0);
                let fits = backlog + (units + 1.0) * t <= tolerance * ROUNDING;
                if backlog <= tolerance && fits { units + 1.0 } else { units }
            }
            Counted::Window { counts, .. } => (tolerance - counts.iter().sum::<f64>()).max(0.0),
        }
    }

    /// Until it says nothing any more.
    fn reset(&self, now: f64) -> f64 {
        match &self.counted {
            Counted::Bucket { whole, part } => whole - now + part,
            Counted::Window { t, newest, counts } => counts
                .iter()
                .rposition(|count| *count > 0.0)
                .map_or(0.0, |place| (newest - (8.0 - place as f64) + 9.0) * t - now),
        }
    }
}
