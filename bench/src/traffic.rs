//! Rows that any channel can do: a pair in one process, a stream, a ping-pong, a crowd.

use crate::case::{Case, Partnered, cpus, impossible, repeat, wrong};
use crate::channel::{Channel, End, Pipe, Queue, Sockets, depth};
use crate::peer::Peer;
use crate::plugin::Plugin;
use crate::posix::Mq;
use crate::row::{Place, Wait, Watch, Work};
use crate::side::Side;
use crate::sys::{self, Message};
use std::io::Result;
use std::rc::Rc;

const PINGPONG_LEN: usize = 64;
const CROWD_LEN: usize = 64;

/// Sets the scene for one of these works.
pub fn prepare(side: Side, watch: Watch, work: Work) -> Result<Box<dyn Case>> {
    match side {
        Side::Kernel | Side::Usysv => over(|_| Queue::private(), watch, work),
        Side::PosixMq => over(|len| Mq::new(depth(len), len), watch, work),
        Side::Pipe => over(Pipe::new, watch, work),
        Side::UnixDgram => over(Sockets::datagram, watch, work),
        Side::UnixSeqpacket => over(Sockets::seqpacket, watch, work),
        Side::Boost | Side::Iceoryx2 | Side::Ipmpsc | Side::Crossbeam => {
            over(|len| Plugin::new(side, depth(len), len), watch, work)
        }
        Side::Plain | Side::PosixSem => Err(impossible("it passes no messages")),
    }
}

fn over<C: Channel>(
    open: impl Fn(usize) -> Result<C>,
    watch: Watch,
    work: Work,
) -> Result<Box<dyn Case>> {
    match work {
        Work::Pair { len } => pair(watch, open(len)?, len),
        Work::Stream { len } => stream(watch, open(len)?, len),
        Work::PingPong(place, wait) => {
            ping_pong(watch, open(PINGPONG_LEN)?, open(PINGPONG_LEN)?, place, wait)
        }
        Work::Crowd(pairs) => crowd(watch, open(CROWD_LEN)?, pairs),
        _ => Err(wrong("not a work for channels")),
    }
}

/// A message that `byte` is all over.
fn message(byte: u8) -> Message {
    let mut message = Message::new(1);
    message.bytes_mut(sys::TEXT).fill(byte);
    message
}

fn pair<C: Channel>(watch: Watch, channel: C, len: usize) -> Result<Box<dyn Case>> {
    channel.attach(End::Both)?;
    let (sent, mut received) = (message(1), message(2));
    channel.send(&sent, len)?;
    channel.receive(&mut received, len)?;
    if received.bytes(len) != sent.bytes(len) {
        return Err(wrong("something else was received than sent"));
    }
    Ok(repeat(watch, move || {
        channel.send(&sent, len)?;
        match channel.receive(&mut received, len)? {
            got if got == len => Ok(()),
            got => Err(wrong(format!("got {got} B"))),
        }
    }))
}

/// One more process, bound to a CPU, that works on an end of a channel; attached when this returns.
fn peer<C: Channel>(
    cpu: usize,
    ends: &[(&Rc<C>, End)],
    mut work: impl FnMut(u64) -> Result<()>,
) -> Result<Peer> {
    let mut attached = false;
    let mut peer = Peer::start(cpu, |operations| {
        if !attached {
            ends.iter()
                .try_for_each(|(channel, end)| channel.attach(*end))?;
            attached = true;
        }
        work(operations)
    })?;
    peer.go(0)?;
    peer.done()?;
    Ok(peer)
}

fn sender<C: Channel>(channel: &Rc<C>, len: usize) -> impl FnMut(u64) -> Result<()> + use<C> {
    let (channel, sent) = (channel.clone(), message(1));
    move |operations| (0..operations).try_for_each(|_| channel.send(&sent, len))
}

fn receiver<C: Channel>(channel: &Rc<C>, len: usize) -> impl FnMut(u64) -> Result<()> + use<C> {
    let (channel, mut received) = (channel.clone(), message(2));
    move |operations| {
        for _ in 0..operations {
            if channel.receive(&mut received, len)? != len || received.bytes(1) != [1] {
                return Err(wrong("something else was received than sent"));
            }
        }
        Ok(())
    }
}

fn stream<C: Channel>(watch: Watch, channel: C, len: usize) -> Result<Box<dyn Case>> {
    let (here, there) = cpus(Place::TwoCpus)?;
    let channel = Rc::new(channel);
    let peers = vec![peer(
        there,
        &[(&channel, End::Receive)],
        receiver(&channel, len),
    )?];
    channel.attach(End::Send)?;
    sys::pin(here)?;
    Ok(Box::new(Partnered {
        watch,
        share: 1,
        work: sender(&channel, len),
        peers,
        _kept: channel,
    }))
}

/// So many senders and receivers of one channel, on two CPUs in turn.
fn crowd<C: Channel>(watch: Watch, channel: C, pairs: u64) -> Result<Box<dyn Case>> {
    let (here, there) = cpus(Place::TwoCpus)?;
    let channel = Rc::new(channel);
    let mut peers = Vec::new();
    for n in 0..pairs {
        let (first, second) = if n % 2 == 0 {
            (here, there)
        } else {
            (there, here)
        };
        peers.push(peer(
            second,
            &[(&channel, End::Receive)],
            receiver(&channel, CROWD_LEN),
        )?);
        if n > 0 {
            peers.push(peer(
                first,
                &[(&channel, End::Send)],
                sender(&channel, CROWD_LEN),
            )?);
        }
    }
    channel.attach(End::Send)?;
    sys::pin(here)?;
    Ok(Box::new(Partnered {
        watch,
        share: pairs,
        work: sender(&channel, CROWD_LEN),
        peers,
        _kept: channel,
    }))
}

fn ping_pong<C: Channel>(
    watch: Watch,
    ping: C,
    pong: C,
    place: Place,
    wait: Wait,
) -> Result<Box<dyn Case>> {
    let (here, there) = cpus(place)?;
    let (ping, pong) = (Rc::new(ping), Rc::new(pong));
    let take = move |from: &C, ball: &mut Message| -> Result<()> {
        match wait {
            Wait::Sleeping => from.receive(ball, PINGPONG_LEN).map(drop),
            Wait::Polling => {
                while !from.poll(ball, PINGPONG_LEN)? {
                    std::hint::spin_loop();
                }
                Ok(())
            }
        }
    };
    let (from, to, mut ball) = (ping.clone(), pong.clone(), message(1));
    let ends = [(&ping, End::Receive), (&pong, End::Send)];
    let peers = vec![peer(there, &ends, move |operations| {
        for _ in 0..operations {
            take(&from, &mut ball)?;
            to.send(&ball, PINGPONG_LEN)?;
        }
        Ok(())
    })?];
    pong.attach(End::Receive)?;
    ping.attach(End::Send)?;
    sys::pin(here)?;
    let (from, to, mut ball) = (pong.clone(), ping.clone(), message(1));
    let work = move |operations| {
        for _ in 0..operations {
            to.send(&ball, PINGPONG_LEN)?;
            take(&from, &mut ball)?;
        }
        Ok(())
    };
    Ok(Box::new(Partnered {
        watch,
        share: 1,
        work,
        peers,
        _kept: (ping, pong),
    }))
}
