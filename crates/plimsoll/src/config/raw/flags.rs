//! Flags: what services ask for at run time.

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway::plan::WalkKey;

use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::word::EnvName;

stanza! {
    /// Flags that services ask for at run time, by OpenFeature's providers for flagd and OFREP.
    Flags {
        /// Their definitions, in the format of flagd, as JSON or YAML. Without it there are none, and nothing listens.
        file: Option<PathBuf> = "null";
        /// How users are drawn for the variants of a `fractional`. Evaluators of different generations find different users; all that evaluate the flags of this file have to be of one.
        bucketing: BucketingWord = "v2";
        /// Where OFREP and both services of flagd are served, all of them at each address.
        listen: Vec<At<SocketAddr>> = "[127.0.0.1:8013, 127.0.0.1:8015, 127.0.0.1:8016]";
        /// Where requests carry the key by which services evaluate flags, the `targetingKey`. By it a flag that is rolled out is judged; without it none can be.
        key: Option<WalkKey> = "null";
        /// File with a token that whoever asks has to show; spaces around it are dropped.
        token_file: Option<PathBuf> = "null";
        /// Environment variable with that token.
        token_env: Option<EnvName> = "null";
    }
}

words! {
    /// A generation of bucketing.
    BucketingWord {
        /// flagd before core 0.15: a percentage in floating point. For sets that are used so already.
        V1 = "v1",
        /// flagd core 0.15 and 0.16, and the providers for JavaScript and Go: the hash of the key's text, and weights.
        V2 = "v2",
        /// What flagd has accepted for its next version, and the provider for Python has: keys that are numbers and objects too.
        V3 = "v3",
    }
}
