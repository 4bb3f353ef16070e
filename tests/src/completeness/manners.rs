//! [`Manners`]: how a station answers others; [`Answer`]: what it gave one of them.

use fastrand::Rng;

use super::event_set::EventSet;

/// How a station answers others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// It gives all that it is asked for.
    Honest,
    /// It closes every subscription with an excuse.
    Refuses,
    /// It lists all that it holds, and does not send half of it.
    Withholds,
    /// It breaks off in the middle.
    Cuts,
    /// It breaks off after this many events. One that does not tell what it has sends its newest
    /// events first, also those that the other side holds.
    Limits(usize),
    /// It hides all that it holds.
    HidesAll,
    /// It hides half of what it holds: every event for which a hash of its number and this number
    /// is odd.
    HidesHalf(u64),
    /// It sends all forged.
    Forges,
    /// It sends every fifth event forged.
    ForgesSome,
}

/// What a peer gave; one that could not be reached gave nothing.
#[derive(Debug, Default)]
pub struct Answer {
    /// What it serves at the time, asked for or not.
    pub served: EventSet,
    /// The events that came and were genuine.
    pub came: EventSet,
    /// The events that it listed and did not send.
    pub withheld: EventSet,
    /// The events that it sent forged.
    pub forged: EventSet,
    /// Whether it left before it had given everything, or gave mostly forgeries.
    pub failed: bool,
}

impl Manners {
    /// What a station with such manners serves of what it holds.
    pub fn served(self, held: &EventSet) -> EventSet {
        match self {
            Self::HidesAll => EventSet::default(),
            Self::HidesHalf(salt) => {
                let mut served = *held;
                for event in held.iter().filter(|event| is_odd(*event, salt)) {
                    served.remove(event);
                }
                served
            }
            _ => *held,
        }
    }

    /// What a station that holds `held` gives to another that asks for `asked` and lacks `missing`
    /// of that.
    pub fn answer(
        self,
        served: EventSet,
        asked: &EventSet,
        missing: EventSet,
        tells_what_it_has: bool,
        chance: &mut Rng,
    ) -> Answer {
        let mut answer = Answer {
            served,
            came: missing,
            withheld: EventSet::default(),
            forged: EventSet::default(),
            failed: false,
        };
        match self {
            Self::Honest | Self::HidesAll | Self::HidesHalf(_) => {}
            Self::Refuses => {
                answer.came = EventSet::default();
                answer.failed = true;
            }
            Self::Withholds => {
                let withheld: Vec<usize> = answer.came.iter().filter(|_| chance.bool()).collect();
                answer.hold_back(&withheld);
            }
            Self::Cuts => {
                let rest: Vec<usize> = answer.came.iter().filter(|_| chance.bool()).collect();
                rest.iter().for_each(|event| answer.came.remove(*event));
                answer.failed = true;
            }
            Self::Limits(most) => {
                let listed = if tells_what_it_has {
                    &answer.came
                } else {
                    asked
                };
                let rest: Vec<usize> = listed.iter().rev().skip(most).collect();
                answer.failed = !rest.is_empty();
                rest.iter().for_each(|event| answer.came.remove(*event));
            }
            Self::Forges => {
                answer.failed = !answer.came.is_empty();
                std::mem::swap(&mut answer.came, &mut answer.forged);
            }
            Self::ForgesSome => {
                let forged: Vec<usize> = answer.came.iter().step_by(5).collect();
                let all = answer.came.len();
                for event in &forged {
                    answer.came.remove(*event);
                    answer.forged.insert(*event);
                    answer.served.remove(*event);
                }
                answer.failed = 2 * forged.len() > all;
            }
        }
        answer
    }
}

impl Answer {
    fn hold_back(&mut self, events: &[usize]) {
        for event in events {
            self.came.remove(*event);
            self.withheld.insert(*event);
        }
    }
}

const fn is_odd(event: usize, salt: u64) -> bool {
    let mixed = (event as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) & 1 == 1
}
