//! iceoryx2, ipmpsc and crossbeam-channel, each used as its documentation says for byte messages.

use crate::{End, Outcome, Shape};
use crossbeam_channel as crossbeam;
use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::{BackpressureStrategy, LogLevel, NodeBuilder, ipc, set_log_level};
use serde_bytes::Bytes;

const NO_END: &str = "this end of the channel is not attached here";

/// An iceoryx2 service of one publisher and one subscriber that loses nothing. Its receivers poll.
pub struct Iceoryx2 {
    publisher: Option<Publisher<ipc::Service, [u8], ()>>,
    subscriber: Option<Subscriber<ipc::Service, [u8], ()>>,
}

impl Iceoryx2 {
    pub fn attach(name: &str, shape: Shape, sends: bool, receives: bool) -> Outcome<Iceoryx2> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let service = node
            .service_builder(&name.try_into()?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(shape.depth)
            .open_or_create()?;
        let publisher = || {
            let builder = service.publisher_builder().initial_max_slice_len(shape.len);
            builder
                .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                .create()
        };
        let subscriber = || {
            service
                .subscriber_builder()
                .buffer_size(shape.depth)
                .create()
        };
        Ok(Iceoryx2 {
            subscriber: receives.then(subscriber).transpose()?,
            publisher: sends.then(publisher).transpose()?,
        })
    }
}

impl End for Iceoryx2 {
    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        let publisher = self.publisher.as_ref().ok_or(NO_END)?;
        // Now and then, on a full buffer, it reports that nobody was reached: then it has to be sent again.
        for _ in 0..1_000_000 {
            let sample = publisher.loan_slice_uninit(bytes.len())?;
            if sample.write_from_slice(bytes).send()? == 1 {
                return Ok(());
            }
        }
        Err("iceoryx2 does not reach its subscriber".into())
    }

    fn receive(&mut self, buffer: &mut [u8], wait: bool) -> Outcome<Option<usize>> {
        let subscriber = self.subscriber.as_ref().ok_or(NO_END)?;
        loop {
            match subscriber.receive()? {
                Some(sample) => {
                    buffer[..sample.len()].copy_from_slice(&sample);
                    return Ok(Some(sample.len()));
                }
                None if wait => std::hint::spin_loop(),
                None => return Ok(None),
            }
        }
    }
}

/// An ipmpsc ring buffer.
pub struct Ipmpsc {
    sender: Option<ipmpsc::Sender>,
    receiver: Option<ipmpsc::Receiver>,
}

impl Ipmpsc {
    fn path(name: &str) -> String {
        format!("/dev/shm/{name}")
    }

    pub fn create(name: &str, shape: Shape) -> Outcome<()> {
        // Each message is preceded by its size and its length.
        let bytes = shape.depth * (shape.len + 16);
        ipmpsc::SharedRingBuffer::create(&Ipmpsc::path(name), bytes as u32)?;
        Ok(())
    }

    pub fn attach(name: &str, sends: bool, receives: bool) -> Outcome<Ipmpsc> {
        let ring = || ipmpsc::SharedRingBuffer::open(&Ipmpsc::path(name));
        Ok(Ipmpsc {
            sender: sends.then(ring).transpose()?.map(ipmpsc::Sender::new),
            receiver: receives.then(ring).transpose()?.map(ipmpsc::Receiver::new),
        })
    }
}

impl End for Ipmpsc {
    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self
            .sender
            .as_ref()
            .ok_or(NO_END)?
            .send(&Bytes::new(bytes))?)
    }

    fn receive(&mut self, buffer: &mut [u8], wait: bool) -> Outcome<Option<usize>> {
        let mut context = self.receiver.as_mut().ok_or(NO_END)?.zero_copy_context();
        let received: Option<&[u8]> = match wait {
            true => Some(context.recv()?),
            false => context.try_recv()?,
        };
        Ok(received.map(|bytes| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }
}

/// A bounded crossbeam channel of arrays: what can be had inside one process.
pub struct Bounded<const LEN: usize> {
    sender: crossbeam::Sender<[u8; LEN]>,
    receiver: crossbeam::Receiver<[u8; LEN]>,
}

impl<const LEN: usize> Bounded<LEN> {
    pub fn new(depth: usize) -> Bounded<LEN> {
        let (sender, receiver) = crossbeam::bounded(depth);
        Bounded { sender, receiver }
    }
}

impl<const LEN: usize> End for Bounded<LEN> {
    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.sender.send(bytes.try_into()?)?)
    }

    fn receive(&mut self, buffer: &mut [u8], wait: bool) -> Outcome<Option<usize>> {
        let bytes = match wait {
            true => self.receiver.recv()?,
            false => match self.receiver.try_recv() {
                Err(crossbeam::TryRecvError::Empty) => return Ok(None),
                other => other?,
            },
        };
        buffer[..LEN].copy_from_slice(&bytes);
        Ok(Some(LEN))
    }
}
