//! Listening sockets that this process was given at its start: by the Plimsoll that it replaces, or by a supervisor
//! such as systemd.
//!
//! The kernel queues connections with a socket. A new socket beside an old one (`SO_REUSEPORT`) has a queue of its
//! own, and what waits in the old one's is reset when that is closed. So a process that takes over accepts on the
//! very sockets of its predecessor: no queue ends, and none is left without somebody who accepts. For the same reason
//! all of them are taken, however many cores there are now.
//!
//! Whose socket is it? A predecessor says what it was asked to listen on, and a listener that is asked for the same
//! has it, whatever it is called now. A supervisor knows nothing of that: its sockets go by their name, which is then
//! the listener's, else by the address that they are bound to.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::env::Bound;
use crate::plan::ListenAddress;

/// The sockets of one listener, on their way to another process.
#[derive(Debug)]
pub struct Handed {
    /// What the listener is called.
    pub name: Arc<str>,
    /// What it was asked to listen on.
    pub asked: ListenAddress,
    /// Its sockets, for each core one or more.
    pub sockets: Vec<OwnedFd>,
}

/// Sockets that belong together.
#[derive(Debug)]
struct Given {
    name: String,
    /// What a predecessor was asked to listen on, as [`ListenAddress`] shows it; `None` from a supervisor.
    asked: Option<String>,
    sockets: Vec<Bound>,
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Given>);

impl Inherited {
    /// Adds a predecessor's sockets of one listener.
    pub fn from_predecessor(&mut self, name: &str, asked: &str, sockets: Vec<Bound>) {
        self.add(name, Some(asked.to_owned()), sockets);
    }

    /// Adds a socket from a supervisor, with the name that it has there.
    pub fn from_supervisor(&mut self, name: &str, socket: Bound) {
        self.add(name, None, vec![socket]);
    }

    fn add(&mut self, name: &str, asked: Option<String>, sockets: Vec<Bound>) {
        let known = self
            .0
            .iter_mut()
            .find(|given| given.name == name && given.asked == asked);
        match known {
            Some(given) => given.sockets.extend(sockets),
            None => self.0.push(Given {
                name: name.to_owned(),
                asked,
                sockets,
            }),
        }
    }

    /// Takes the sockets of each of these listeners, in their order; none for a listener that has to bind its own.
    pub fn take(&mut self, listeners: &[(&str, &ListenAddress)]) -> Vec<Vec<Bound>> {
        let mut taken: Vec<Vec<Bound>> = listeners.iter().map(|_| Vec::new()).collect();
        // By name and address first: two listeners may have asked for any free port, and one may have been renamed.
        for by_name in [true, false] {
            for ((name, address), sockets) in listeners.iter().zip(&mut taken) {
                let fits = |given: &Given| (given.name == *name) == by_name && given.fits(by_name, address);
                if sockets.is_empty()
                    && let Some(index) = self.0.iter().position(fits)
                {
                    *sockets = self.0.remove(index).sockets;
                }
            }
        }
        taken
    }

    /// What nobody has taken: names, and what is bound.
    pub fn left_over(&self) -> Vec<(String, String)> {
        let bound = |given: &Given| {
            let socket = given.sockets.first();
            let address = socket.and_then(|socket| socket.address().ok().flatten());
            let path = socket.and_then(Bound::path);
            let shown = address.map(|address| address.to_string());
            shown.or_else(|| Some(format!("unix:{}", path?.display())))
        };
        let named = |given: &Given| (given.name.clone(), bound(given).unwrap_or_default());
        self.0.iter().map(named).collect()
    }
}

impl Given {
    fn fits(&self, named: bool, address: &ListenAddress) -> bool {
        match &self.asked {
            Some(asked) => *asked == address.to_string(),
            None => named || self.sockets.iter().any(|socket| is_at(socket, address)),
        }
    }
}

/// Whether a socket listens where it is to be listened.
fn is_at(socket: &Bound, address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Unix(path) => socket.path().is_some_and(|bound| bound == *path),
        ListenAddress::Tcp(asked) => {
            let bound = socket.address().ok().flatten();
            bound.is_some_and(|bound| is_same(bound, *asked))
        }
    }
}

/// `[::]` is `0.0.0.0` as well: systemd listens on it when it is told a port alone.
fn is_same(bound: SocketAddr, asked: SocketAddr) -> bool {
    let everywhere = bound.ip().is_unspecified() && asked.ip().is_unspecified();
    bound.port() == asked.port() && (everywhere || bound.ip() == asked.ip())
}

/// So many descriptors that every core accepts, and every socket is accepted on. Cores beyond the sockets share one.
///
/// # Errors
/// Whatever `dup` says.
pub(crate) fn spread(mut sockets: Vec<Bound>, cores: usize) -> std::io::Result<Vec<Bound>> {
    let own = sockets.len();
    for core in own..cores {
        sockets.push(sockets[core % own].try_clone()?);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn socket() -> (Bound, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Bound::adopt(listener.into()).unwrap(), address)
    }

    fn addresses(taken: &[Vec<Bound>]) -> Vec<Vec<SocketAddr>> {
        let of = |socket: &Bound| socket.address().unwrap().unwrap();
        taken
            .iter()
            .map(|sockets| sockets.iter().map(of).collect())
            .collect()
    }

    #[test]
    fn a_predecessors_sockets_go_by_what_it_was_asked() {
        let any: ListenAddress = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let other = ListenAddress::Tcp(([127, 0, 0, 1], 1).into());
        let ((a, at_a), (b, at_b), (c, _)) = (socket(), socket(), socket());
        let mut inherited = Inherited::default();
        inherited.from_predecessor("a", &any.to_string(), vec![a]);
        inherited.from_predecessor("b", &any.to_string(), vec![b]);
        inherited.from_predecessor("moved", &any.to_string(), vec![c]);
        // A new name on an old address must not have what another still goes by.
        let taken = inherited.take(&[("renamed", &any), ("b", &any), ("moved", &other)]);
        assert_eq!(addresses(&taken), [vec![at_a], vec![at_b], vec![]]);
        assert_eq!(inherited.left_over().len(), 1);
        assert_eq!(inherited.left_over()[0].0, "moved");
    }

    #[test]
    fn a_supervisors_sockets_go_by_name_and_then_by_address() {
        let ((a, at_a), (b, at_b)) = (socket(), socket());
        let mut inherited = Inherited::default();
        inherited.from_supervisor("ingress", a);
        inherited.from_supervisor("plimsoll.socket", b);
        let elsewhere = ListenAddress::Tcp(([127, 0, 0, 1], 1).into());
        let taken = inherited.take(&[("egress", &ListenAddress::Tcp(at_b)), ("ingress", &elsewhere)]);
        assert_eq!(addresses(&taken), [[at_b], [at_a]]);
        assert!(inherited.left_over().is_empty());
    }

    #[test]
    fn everywhere_is_everywhere() {
        let all = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(is_same(all("[::]:80"), all("0.0.0.0:80")));
        assert!(!is_same(all("[::]:80"), all("127.0.0.1:80")));
        assert!(!is_same(all("[::]:80"), all("0.0.0.0:81")));
    }

    #[test]
    fn no_queue_is_left_without_a_core_and_no_core_without_a_queue() {
        let count = |sockets: usize, cores| {
            let sockets = (0..sockets).map(|_| socket().0).collect();
            spread(sockets, cores).unwrap().len()
        };
        assert_eq!((count(1, 4), count(3, 2), count(2, 2)), (4, 3, 2));
    }

    #[test]
    fn what_does_not_listen_is_not_adopted() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Bound::adopt(one.into()).is_err());
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(Bound::adopt(datagram.into()).is_err());
    }
}
