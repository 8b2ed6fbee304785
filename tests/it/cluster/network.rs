//! Network namespaces: a server in one has loopback and addresses of its own, and reaches the rest of the machine by one
//! cable, which a test can cut.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::processes::Process;

const IP: &str = "/usr/sbin/ip";
/// Inside a namespace the cable is called so.
const CABLE: &str = "cable0";
/// Of 198.18.0.0/15, which is set apart for such tests (RFC 2544), each test process has a part for so many namespaces.
const NAMESPACES_MAX: u32 = 4;
const PARTS: u32 = (1 << 15) / NAMESPACES_MAX;

/// A namespace and the cable to it. Gone when dropped.
pub(super) struct Cable {
    namespace: String,
    /// The machine's end of it.
    end: String,
    network: String,
    /// The machine's address on it, and the namespace's.
    here: Ipv4Addr,
    pub(super) there: Ipv4Addr,
}

impl Cable {
    /// So many; `None` where this machine lets nobody make namespaces, and says so.
    pub(super) fn lay(count: u32) -> Option<Vec<Self>> {
        assert!(count <= NAMESPACES_MAX);
        let cables: Option<Vec<Self>> = (0..count).map(Self::lay_one).collect();
        if cables.is_none() {
            eprintln!("SKIPPED: `ip netns add` is not allowed here, or {IP} (iproute2) is missing");
        }
        cables
    }

    fn lay_one(number: u32) -> Option<Self> {
        let process = std::process::id();
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (process % PARTS * NAMESPACES_MAX + number) * 4;
        let [network, here, there] = [0, 1, 2].map(|at| Ipv4Addr::from(first + at));
        let namespace = format!("weikefu-{process}-{number}");
        ip(&format!("netns add {namespace}")).then_some(())?;
        let cable = Self {
            end: format!("wk{process}n{number}"),
            network: format!("{network}/30"),
            namespace,
            here,
            there,
        };
        let Self { namespace, end, network, .. } = &cable;
        for command in [
            format!("link add {end} type veth peer name {CABLE} netns {namespace}"),
            format!("address add {here}/30 dev {end}"),
            // While the cable is cut, nothing for its other end may look for another way out of the machine.
            format!("route add blackhole {network} metric 4096"),
            format!("-n {namespace} address add {there}/30 dev {CABLE}"),
            format!("-n {namespace} link set {CABLE} up"),
            format!("-n {namespace} link set lo up"),
        ] {
            assert!(ip(&command), "ip {command}");
        }
        cable.heal();
        Some(cable)
    }

    /// From now on nothing comes through, and nobody is told.
    pub(super) fn cut(&self) {
        assert!(ip(&format!("link set {} down", self.end)));
    }

    /// It comes through again.
    pub(super) fn heal(&self) {
        assert!(ip(&format!("link set {} up", self.end)));
    }

    /// Starts our program in the namespace.
    pub(super) fn start(&self, folder: &Path, arguments: &[&str], log: &Path) -> Process {
        let inside = ["netns", "exec", &self.namespace, env!("CARGO_BIN_EXE_weikefu")];
        Process::start_program_logging(folder, IP, &[&inside[..], arguments].concat(), log)
    }

    /// A way on which whoever is in the namespace reaches a port of this machine's loopback.
    pub(super) async fn way_to(&self, loopback: &str) -> Way {
        relay((self.here, 0), loopback.to_owned()).await
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for command in [
            format!("link del {}", self.end),
            format!("route del blackhole {} metric 4096", self.network),
            format!("netns del {}", self.namespace),
        ] {
            ip(&command);
        }
    }
}

/// Where something is passed on.
pub(super) struct Way {
    /// Where it is taken in.
    pub(super) address: String,
    /// The ports from which it came out.
    pub(super) ports: Arc<Mutex<BTreeSet<u16>>>,
}

/// Passes on what comes to an address, until the test ends.
pub(super) async fn relay(listen: (Ipv4Addr, u16), target: String) -> Way {
    let listener = TcpListener::bind(listen).await.unwrap();
    let way = Way { address: listener.local_addr().unwrap().to_string(), ports: Arc::default() };
    let ports = way.ports.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (target, ports) = (target.clone(), ports.clone());
            tokio::spawn(async move {
                if let Ok(mut to) = TcpStream::connect(target).await {
                    ports.lock().unwrap().insert(to.local_addr().unwrap().port());
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    way
}

fn ip(command: &str) -> bool {
    let mut ip = Command::new(IP);
    ip.args(command.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    ip.status().is_ok_and(|status| status.success())
}
