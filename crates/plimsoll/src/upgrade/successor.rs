//! The new process, as the old one sees it.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway::env::Env;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use super::UpgradeError;
use super::channel::{FROM, OldEnd, Sockets, pair};
use super::program::Program;

/// Bytes that are kept of what it says: the first problems of a configuration are the ones to mend first.
const WORDS_MAX: usize = 16 << 10;

/// How long what it said last is waited for. It is there when it has ended, unless it left children who hold on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A new process that is coming up.
#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    pid: u32,
    channel: OldEnd,
    words: Arc<Mutex<Vec<u8>>>,
    /// True once it has said everything.
    silent: watch::Receiver<bool>,
}

impl Successor {
    /// Starts the program once more.
    ///
    /// # Errors
    /// [`UpgradeError::Start`].
    pub(super) fn start(env: &Env, program: &Program) -> Result<Self, UpgradeError> {
        let start = || {
            let (channel, stdin) = pair()?;
            let mut command = Command::new(&program.path);
            command
                .args(&program.arguments)
                .env(FROM, std::process::id().to_string())
                // These were for this process: its sockets go by the channel, and the watchdog is the new one's.
                .env_remove("LISTEN_FDS")
                .env_remove("LISTEN_PID")
                .env_remove("LISTEN_FDNAMES")
                .env_remove("WATCHDOG_PID")
                .stdin(Stdio::from(stdin))
                .stdout(Stdio::inherit())
                .stderr(Stdio::piped());
            Ok((command.spawn()?, channel))
        };
        let (mut child, channel) = start().map_err(|source| UpgradeError::Start {
            path: program.path.clone(),
            source,
        })?;
        let words = Arc::default();
        let (tell, silent) = watch::channel(false);
        if let Some(stderr) = child.stderr.take() {
            env.spawn(listen(stderr, Arc::clone(&words), tell));
        }
        Ok(Self {
            pid: child.id().unwrap_or_default(),
            child,
            channel,
            words,
            silent,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Hands the sockets over, tells of it, and waits until it is ready.
    ///
    /// # Errors
    /// It ended instead.
    pub(super) async fn prepare(
        &mut self,
        sockets: &Sockets,
        handed: impl FnOnce(),
    ) -> Result<(), UpgradeError> {
        let ready = async {
            let heard = async {
                self.channel.send(sockets).await?;
                handed();
                self.channel.ready().await
            };
            if heard.await.is_err() {
                // It has shut the channel. Either it is about to end, or it is no Plimsoll, and its time will pass.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = ready => return Ok(()),
            _ = self.child.wait() => {}
        }
        Err(self.ended())
    }

    /// Lets it take over.
    ///
    /// # Errors
    /// It is gone.
    pub(super) async fn go(&mut self) -> Result<(), UpgradeError> {
        let gone = matches!(self.child.try_wait(), Ok(Some(_)));
        if gone || self.channel.go().await.is_err() {
            return Err(self.ended());
        }
        Ok(())
    }

    fn ended(&mut self) -> UpgradeError {
        let status = self.child.try_wait().ok().flatten();
        UpgradeError::Ended {
            pid: self.pid,
            status: status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string()),
            words: String::new(),
        }
    }

    /// Ends it if it still runs, and adds its words to what failed.
    pub(super) async fn end(mut self, failed: UpgradeError) -> UpgradeError {
        // It accepts nobody before its turn, so nothing is lost. It may have ended by itself.
        drop(self.child.start_kill());
        drop(self.child.wait().await);
        let silent = self.silent.wait_for(|silent| *silent);
        // Without an answer there is nobody left who would say more.
        drop(tokio::time::timeout(LAST_WORDS, silent).await);
        match failed {
            UpgradeError::Ended { pid, status, .. } => UpgradeError::Ended {
                pid,
                status,
                words: self.said(),
            },
            UpgradeError::Late { pid, limit, .. } => UpgradeError::Late {
                pid,
                limit,
                words: self.said(),
            },
            failed => failed,
        }
    }

    /// What it said, as the end of a sentence.
    fn said(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words);
        let words = words.trim();
        if words.is_empty() {
            return ", and said nothing".to_owned();
        }
        format!("; it said:\n{words}")
    }
}

/// Passes on what it says, and keeps the beginning.
async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<Vec<u8>>>, silent: watch::Sender<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut bytes).await {
        drop(std::io::stderr().lock().write_all(&bytes[..read]));
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        let room = WORDS_MAX - words.len();
        words.extend_from_slice(&bytes[..read.min(room)]);
    }
    silent.send_replace(true);
}
