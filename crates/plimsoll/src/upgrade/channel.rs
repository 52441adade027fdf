//! What an old process and a new one say to each other, and how descriptors go with it.
//!
//! A pair of Unix sockets; the new one's end is its standard input, which reaches it whatever the program is, and
//! without a path that others could connect to.
//!
//! ```text
//! old: one line of JSON that says what comes, then the descriptors, so many to a byte
//! new: `ready`
//! old: `go`
//! ```
//!
//! Both sides look at the number of the protocol, since they are seldom of one version. A program that knows nothing
//! of this finds its addresses taken, or says nothing, and is ended.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use gateway::env::Bound;
use gateway::{Handed, Inherited};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg,
};
use serde_json::{Value, json};

/// Set for the new process, with the old one's id for whoever looks: its standard input is this channel.
pub(crate) const FROM: &str = "PLIMSOLL_UPGRADE_FROM";

const PROTOCOL: u64 = 1;

/// Descriptors to a message: Linux takes 253.
const BATCH: usize = 64;

/// Bytes of the line: far more than names and addresses of a thousand listeners.
const LINE_MAX: usize = 1 << 20;

/// Descriptors that are taken: a listener for each port and core that anybody has.
const DESCRIPTORS_MAX: usize = 1 << 16;

const READY: &[u8] = b"ready\n";
const GO: &[u8] = b"go\n";

/// All that is handed over.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<Handed>,
    pub(crate) admin: OwnedFd,
    /// Where errors go, which the new process has from the old one: while it starts, its own are read.
    pub(crate) stderr: OwnedFd,
}

impl Sockets {
    fn line(&self) -> String {
        let listeners: Vec<Value> = self.listeners.iter().map(said).collect();
        format!("{}\n", json!({ "protocol": PROTOCOL, "listeners": listeners }))
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let listeners = self.listeners.iter().flat_map(|handed| &handed.sockets);
        [&self.stderr, &self.admin]
            .into_iter()
            .chain(listeners)
            .map(AsFd::as_fd)
            .collect()
    }
}

fn said(handed: &Handed) -> Value {
    json!({ "name": &*handed.name, "asked": handed.asked.to_string(), "sockets": handed.sockets.len() })
}

/// The old process's end.
#[derive(Debug)]
pub(super) struct OldEnd(tokio::net::UnixStream);

/// A new channel: the old process's end, and what the new one has for its standard input.
pub(super) fn pair() -> io::Result<(OldEnd, OwnedFd)> {
    let (old, new) = UnixStream::pair()?;
    old.set_nonblocking(true)?;
    Ok((OldEnd(tokio::net::UnixStream::from_std(old)?), new.into()))
}

impl OldEnd {
    pub(super) async fn send(&mut self, sockets: &Sockets) -> io::Result<()> {
        self.write(sockets.line().as_bytes()).await?;
        for batch in sockets.descriptors().chunks(BATCH) {
            let send = || send_batch(self.0.as_fd(), batch);
            self.0.async_io(tokio::io::Interest::WRITABLE, send).await?;
        }
        Ok(())
    }

    /// Waits until the new process is ready.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        let mut heard = [0; READY.len()];
        tokio::io::AsyncReadExt::read_exact(&mut self.0, &mut heard).await?;
        if heard == READY {
            Ok(())
        } else {
            Err(io::Error::other("it said something else than that it is ready"))
        }
    }

    pub(super) async fn go(&mut self) -> io::Result<()> {
        self.write(GO).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::io::AsyncWriteExt::write_all(&mut self.0, bytes).await
    }
}

fn send_batch(to: BorrowedFd<'_>, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    assert!(
        with.push(SendAncillaryMessage::ScmRights(batch)),
        "a batch fits into its own space"
    );
    // Descriptors go with a byte, or not at all.
    sendmsg(to, &[IoSlice::new(b".")], &mut with, SendFlags::empty())?;
    Ok(())
}

/// The old process, as the new one sees it.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: UnixStream,
    stderr: OwnedFd,
}

/// What a predecessor hands over.
#[derive(Debug)]
pub(crate) struct Estate {
    pub(crate) predecessor: Predecessor,
    pub(crate) listeners: Inherited,
    pub(crate) admin: Bound,
}

/// Whether standard input can be such a channel. Whose it is is not asked: an old process that has died since is no
/// longer the parent, and its sockets wait in the channel all the same.
pub(crate) fn is_there() -> bool {
    let stdin = rustix::stdio::stdin();
    let family = rustix::net::getsockname(stdin).map(|address| address.address_family());
    let kind = rustix::net::sockopt::socket_type(stdin);
    family == Ok(AddressFamily::UNIX) && kind == Ok(SocketType::STREAM)
}

/// Receives what a predecessor hands over on this process's standard input.
///
/// # Errors
/// It says something that is not understood, or ends before it has said all.
pub(crate) fn receive() -> io::Result<Estate> {
    let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Nobody else in this process, and nobody that it starts, is to hold the channel open.
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    receive_on(channel)
}

fn receive_on(channel: UnixStream) -> io::Result<Estate> {
    let (mut text, mut descriptors) = (Vec::new(), Vec::new());
    let parcels = loop {
        receive_some(&channel, &mut text, &mut descriptors)?;
        let Some(end) = memchr(&text) else {
            continue;
        };
        let parcels = parcels(&text[..end])?;
        // Standard error and the admin port come first.
        let count = 2 + parcels.iter().map(|parcel| parcel.sockets).sum::<usize>();
        if count > DESCRIPTORS_MAX {
            return Err(io::Error::other("the old process hands over too many sockets"));
        }
        while descriptors.len() < count {
            receive_some(&channel, &mut text, &mut descriptors)?;
        }
        break parcels;
    };
    let mut descriptors = descriptors.into_iter();
    let (Some(stderr), Some(admin)) = (descriptors.next(), descriptors.next()) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let mut listeners = Inherited::default();
    for parcel in parcels {
        let sockets = descriptors.by_ref().take(parcel.sockets).map(Bound::adopt);
        listeners.from_predecessor(&parcel.name, &parcel.asked, sockets.collect::<io::Result<_>>()?);
    }
    Ok(Estate {
        predecessor: Predecessor { channel, stderr },
        listeners,
        admin: Bound::adopt(admin)?,
    })
}

fn memchr(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| *byte == b'\n')
}

fn receive_some(channel: &UnixStream, text: &mut Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut with,
        RecvFlags::empty(),
    )?;
    for message in with.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            descriptors.extend(more);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "this process may not hold as many descriptors as it is handed",
        ));
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    text.extend_from_slice(&bytes[..received.bytes]);
    if text.len() > LINE_MAX {
        return Err(io::Error::other("the old process says too much"));
    }
    Ok(())
}

/// What the line says of one listener.
struct Parcel {
    name: String,
    asked: String,
    sockets: usize,
}

fn parcels(line: &[u8]) -> io::Result<Vec<Parcel>> {
    let line: Value = serde_json::from_slice(line)?;
    if line["protocol"] != PROTOCOL {
        let said = format!(
            "the old process hands over by protocol {} and this one knows {PROTOCOL}: stop it, and start this one",
            line["protocol"]
        );
        return Err(io::Error::other(said));
    }
    let parcel = |value: &Value| {
        Some(Parcel {
            name: value["name"].as_str()?.to_owned(),
            asked: value["asked"].as_str()?.to_owned(),
            sockets: usize::try_from(value["sockets"].as_u64()?)
                .ok()?
                .min(DESCRIPTORS_MAX),
        })
    };
    let parcels = line["listeners"].as_array().into_iter().flatten().map(parcel);
    parcels
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other("what the old process hands over is not understood"))
}

impl Predecessor {
    /// Says that all is ready, and waits for its turn. An old process that is gone has left it to this one.
    pub(crate) fn take_over(mut self) {
        let mut heard = [0; GO.len()];
        if self.channel.write_all(READY).is_ok() {
            drop(self.channel.read_exact(&mut heard));
        }
        // Where errors went before. If that cannot be, they go where the old process still reads them for a while.
        _ = rustix::stdio::dup2_stderr(&self.stderr);
    }
}
