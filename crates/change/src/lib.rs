//! Changes: a deploy, a flag, a configuration, a step of a schema; each is exposed step by step, judged at each of them,
//! and promoted by evidence or taken back.
//!
//! Pure: what is so far is a fold over what was said ([`Transition`], in any order and however often), and what is said
//! next is a function of that and of what is seen ([`Standing::decide`]). Clocks, stores and processes are the shell's.
//!
//! ```text
//! proposed ─► armed ─► step 1 ─► … ─► step n ─► promoted (probation) ─► final
//!     └──────────┴────────┴──── cut ────┴────────────┘
//!                               ▼
//!                           reverting ─► reverted
//!                               └──────► parked: a person has to see to it
//! ```
//!
//! **Who may say what.** A cut is anybody's: each gateway that finds a candidate bad says so, and it holds for all who hear
//! of it, for ever, whatever they hear before or after. More exposure is the leader's, one at a time, by evidence that is
//! kept with it; who leads is the store's to say, so without a store nothing goes up, and everything can go down.

mod change;
mod changes;
mod deciding;
mod evidence;
mod standing;
mod transition;

pub use change::{Assignment, Change, Gate, Kind, Reversibility, Step, Then, Undecided};
pub use changes::{Changes, Refusal};
pub use deciding::{Health, Next, Seen, Wait};
pub use evidence::Evidence;
pub use standing::{Phase, Standing};
pub use transition::{Cause, Transition};
