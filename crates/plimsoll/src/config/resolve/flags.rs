//! Flags, and where they are served.

use std::sync::Arc;

use gateway::plan::WalkKey;
use plimsoll_flags::Bucketing;

use super::{Scope, admin};
use crate::config::raw::flags::{BucketingWord, Flags};
use crate::config::{FlagsConfig, definitions};

pub(super) fn resolve(flags: Flags, scope: &mut Scope<'_>) -> Option<FlagsConfig> {
    let Flags {
        file,
        bucketing,
        listen,
        key,
        token_file,
        token_env,
    } = flags;
    if token_file.is_some() && token_env.is_some() {
        scope.problem(&token_env.place, "`token_file` is there too", "one of the two");
    }
    if key.value == Some(WalkKey::Trace) {
        let wrong = "a trace is no key of a user";
        scope.problem(&key.place, wrong, "`header:X-User` or `cookie:uid`");
    }
    let token = admin::source(token_file, token_env, scope);
    let path = file.value?;
    scope.some(&listen, "address");
    let bucketing = match bucketing.value {
        BucketingWord::V1 => Bucketing::V1,
        BucketingWord::V2 => Bucketing::V2,
        BucketingWord::V3 => Bucketing::V3,
    };
    let written = match definitions::read(&path, bucketing) {
        Ok(read) => read,
        Err(problems) => {
            for (wrong, right) in problems {
                scope.problem(&file.place, wrong, right);
            }
            return None;
        }
    };
    Some(FlagsConfig {
        written: Arc::new(written),
        bucketing,
        listen: listen.value.into_iter().map(|address| address.value).collect(),
        key: key.value,
        token,
    })
}
