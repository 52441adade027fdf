//! How changes are rolled out.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::hours::Hours;
use crate::config::value::quantity::Ratio;

stanza! {
    /// How versions are rolled out, unless whoever asks for one says otherwise. What a step has to show is that the next one cannot double what fails, nor spend more than the objective allows.
    Changes {
        /// Shares of traffic that a candidate gets, step by step, before everybody has it.
        steps: Vec<At<Ratio>> = "[1%, 5%, 25%, 50%]";
        /// How long a step is held while nobody can tell whether the candidate is good.
        hold_max: Duration = "1h", from "1s" to "30d";
        /// What then becomes of it. Nothing is promoted because time has passed.
        undecided: WhenUndecided = "revert";
        /// How long the version before is kept warm after everybody has the new one.
        probation: Duration = "1h", from "1s" to "7d";
        /// The share that stays with the version before in that time, to be compared with; up to half.
        hold_back: Ratio = "5%";
        /// How likely a candidate that is as good may be rolled back, over the whole of its rollout; 0.0001% to 50%.
        alpha: Ratio = "0.1%";
        /// How much more often than the version before a candidate may fail.
        tolerated: Ratio = "10%";
        /// How much more often it may be slow.
        tolerated_slow: Ratio = "20%";
        /// A difference of time that nobody notices. What takes longer than the version before usually did, by no more than that, is not slow.
        unnoticed: Duration = "5ms", from "0s" to "10s";
        /// When changes go on: `mon-thu 09:00-16:00`. At other hours they wait, and what is bad is taken back as ever; without any they go on at all hours.
        hours: Vec<At<Hours>> = "[]";
        /// The time zone of these hours.
        zone: TimeZone = "UTC";
    }
}

words! {
    /// What becomes of a change about which nothing is found out.
    WhenUndecided {
        /// It is taken back.
        Revert = "revert",
        /// It stays where it is, and a person is asked.
        Ask = "ask",
    }
}
