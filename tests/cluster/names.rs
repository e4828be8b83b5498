//! A name server with one name, whose addresses change.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

/// The type of a question for IPv4 addresses (RFC 1035).
const A: u8 = 1;

/// Answers every question with the addresses of nodes. It ends with the tests.
pub(super) struct NameServer {
    pub(super) port: u16,
    nodes: Arc<Mutex<Vec<usize>>>,
}

impl NameServer {
    /// Starts on a local port of this thread's host.
    pub(super) fn start(nodes: &[usize]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let nodes = Arc::new(Mutex::new(nodes.to_vec()));
        let current = Arc::clone(&nodes);
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let mut answer = query[..length].to_vec();
                answer[2..4].copy_from_slice(&[0x81, 0x80]);
                if answer[length - 3] == A {
                    let nodes = current.lock().unwrap().clone();
                    answer[7] = nodes.len() as u8;
                    for node in nodes {
                        // A pointer to the name, type, class, seconds to live, length, address.
                        answer.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4]);
                        answer.extend([192, 168, 56, 10 + node as u8]);
                    }
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { port, nodes }
    }

    /// Changes the addresses.
    pub(super) fn set(&self, nodes: &[usize]) {
        *self.nodes.lock().unwrap() = nodes.to_vec();
    }
}
