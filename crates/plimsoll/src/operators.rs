//! What operators may ask of an instance, and who may: the joint between the admin port and the parts that it is
//! about.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use crate::admin::{AdminBackend, AdminConfig, Token};
use crate::api::ApiBackend;
use crate::config;
use crate::exemplars::Exemplars;
use crate::history::Window;
use crate::instance::Parts;
use crate::observe;
use crate::reading::{ObjectiveReading, Reading, TelemetryReading};
use crate::record::Record;
use crate::reload::Reloaded;
use crate::upgrade;

/// The parts, as the admin port sees them.
#[derive(Clone, Debug)]
pub(crate) struct Operators(pub(crate) Arc<Parts>);

impl ApiBackend for Operators {
    fn record(&self) -> &Record {
        &self.0.record
    }

    fn objectives(&self) -> Vec<ObjectiveReading> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.reading(&self.0.reloader.asked().ladder)
    }

    fn wall(&self) -> Duration {
        self.0.gateway.env().wall()
    }
}

impl AdminBackend for Operators {
    fn reading(&self) -> Reading {
        observe::read(&self.0)
    }

    fn window(&self, reading: &Reading, length: Duration) -> Window {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.window(reading.now, length, &reading.series)
    }

    fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.0.telemetry.exemplars()
    }

    fn telemetry(&self) -> TelemetryReading {
        self.0.telemetry.reading()
    }

    async fn reload(&self) -> Reloaded {
        self.0.reload().await
    }

    fn drain(&self) {
        self.0.drain();
    }

    async fn upgrade(&self) -> Result<u32, String> {
        upgrade::run(&self.0).await
    }
}

/// Where the port is. The token is read once, so that one that is missing is found at the start; afterwards it is
/// read whenever it is shown one, so that it can be renewed without a restart, and whoever removes it shuts the port.
///
/// # Errors
/// The token cannot be read.
pub(crate) fn port(config: &config::AdminConfig) -> Result<AdminConfig, config::secrets::SecretError> {
    let token = match config.token.clone() {
        None => None,
        Some(source) => {
            source.read()?;
            Some(Token::new(move |shown| {
                source.read().is_ok_and(|secret| secret.matches(shown))
            }))
        }
    };
    Ok(AdminConfig {
        listen: config.listen,
        token,
    })
}
