//! Who talks to whom.

use std::io;
use std::net::{SocketAddr, TcpStream};

/// One end of a connection.
pub struct End {
    pub stream: TcpStream,
    is_backend: bool,
    /// The other end of the exchange that goes on.
    partner: Option<usize>,
}

/// All of them, by number. A number is used once, so that a late event meets nobody else.
pub struct Connections {
    ends: Vec<Option<End>>,
    /// Connections to the backend that are free.
    free: Vec<usize>,
    backend: SocketAddr,
}

impl Connections {
    pub fn new(backend: SocketAddr) -> Self {
        Self { ends: Vec::new(), free: Vec::new(), backend }
    }

    pub fn add(&mut self, stream: TcpStream) -> io::Result<usize> {
        self.insert(stream, false)
    }

    fn insert(&mut self, stream: TcpStream, is_backend: bool) -> io::Result<usize> {
        stream.set_nodelay(true)?;
        self.ends.push(Some(End { stream, is_backend, partner: None }));
        Ok(self.ends.len() - 1)
    }

    pub fn get(&self, number: usize) -> Option<&End> {
        self.ends.get(number)?.as_ref()
    }

    /// To whom goes what this one has sent; a new connection to the backend is told to `opened`.
    pub fn receiver(
        &mut self,
        number: usize,
        opened: impl FnOnce(&TcpStream, usize) -> io::Result<()>,
    ) -> io::Result<Option<usize>> {
        let Some(end) = self.ends[number].as_mut() else { return Ok(None) };
        if end.is_backend {
            let client = end.partner.take();
            self.free.push(number);
            return Ok(client);
        }
        let backend = match self.free.pop() {
            Some(backend) => backend,
            None => {
                let stream = TcpStream::connect(self.backend)?;
                let backend = self.insert(stream, true)?;
                let end = self.ends[backend].as_ref().expect("it was put there");
                opened(&end.stream, backend)?;
                backend
            }
        };
        self.ends[backend].as_mut().expect("free ones are open").partner = Some(number);
        Ok(Some(backend))
    }

    /// Forgets one that has closed; a client in the middle of an exchange is forgotten, too.
    pub fn close(&mut self, number: usize) {
        if let Some(end) = self.ends[number].take() {
            self.free.retain(|free| *free != number);
            if let Some(partner) = end.partner {
                self.ends[partner] = None;
            }
        }
    }
}
