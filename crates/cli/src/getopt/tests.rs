//! Random command lines, walked by this module and by glibc's own `getopt_long`.
#![allow(unsafe_code)]

use super::Takes::{MaybeValue, Nothing, Value};
use super::*;
use std::ffi::{CStr, CString, c_char, c_int};

#[repr(C)]
struct COption {
    name: *const c_char,
    has_arg: c_int,
    flag: *mut c_int,
    val: c_int,
}

unsafe extern "C" {
    fn getopt_long(
        argc: c_int,
        argv: *const *mut c_char,
        optstring: *const c_char,
        longopts: *const COption,
        longindex: *mut c_int,
    ) -> c_int;
    static mut optarg: *mut c_char;
    static mut optind: c_int;
    static mut opterr: c_int;
}

const OPTIONS: [Opt; 6] = [
    opt(b'q', "queues", Nothing),
    opt(b'Q', "queue-key", Value),
    opt(b'a', "all", MaybeValue),
    opt(b'i', "id", Value),
    opt(b'v', "verbose", Nothing),
    Opt {
        letter: 1,
        long: "human",
        takes: Nothing,
        long_only: true,
    },
];

const WORDS: [&str; 26] = [
    "-q",
    "-qv",
    "-qi",
    "-i7",
    "-i",
    "-Q",
    "-a",
    "-aq",
    "-qax",
    "--all",
    "--all=",
    "--all=msg",
    "--queue",
    "--queues",
    "--queue-k",
    "--queue-key=",
    "--id",
    "--i=3",
    "--hum",
    "--verbose=1",
    "--",
    "-",
    "word",
    "7",
    "-Z",
    "--=",
];

/// What a walk answered: each option (255 for an error), its argument, and then the operands.
type Walk = (Vec<(u8, Option<Vec<u8>>)>, Vec<Vec<u8>>);

fn ours(args: &[OsString]) -> Walk {
    let mut walk = Getopt::new(OsStr::new("test"), args, &OPTIONS);
    let mut options = Vec::new();
    while let Some(option) = walk.next() {
        options.push(match option {
            Ok((letter, value)) => (letter, value.map(|v| v.as_bytes().to_vec())),
            Err(Bad(_)) => (255, None),
        });
    }
    let operands = walk.operands().iter().map(|o| o.as_bytes().to_vec());
    (options, operands.collect())
}

fn theirs(args: &[OsString]) -> Walk {
    let names: Vec<_> = OPTIONS.map(|o| CString::new(o.long).unwrap()).into();
    let long = |(o, name): (&Opt, &CString)| COption {
        name: name.as_ptr(),
        has_arg: o.takes as c_int,
        flag: std::ptr::null_mut(),
        val: c_int::from(o.letter),
    };
    let end = COption {
        name: std::ptr::null(),
        has_arg: 0,
        flag: std::ptr::null_mut(),
        val: 0,
    };
    let long: Vec<_> = OPTIONS.iter().zip(&names).map(long).chain([end]).collect();
    let words = std::iter::once("test".as_bytes()).chain(args.iter().map(|a| a.as_bytes()));
    let mut words: Vec<_> = words.map(|w| CString::new(w).unwrap().into_raw()).collect();
    let argc = words.len() as c_int;
    words.push(std::ptr::null_mut());
    let mut options = Vec::new();
    let mut operands = Vec::new();
    // SAFETY: argv and the option table end with null, and live until the walk ends; the libc's
    // globals are used by this test alone. optind 0 starts a new walk.
    unsafe {
        (optind, opterr) = (0, 0);
        loop {
            let short = c"qQ:a::i:v".as_ptr();
            let null = std::ptr::null_mut();
            match getopt_long(argc, words.as_ptr(), short, long.as_ptr(), null) {
                -1 => break,
                0x3f => options.push((255, None)),
                letter => {
                    let value = (!optarg.is_null()).then(|| CStr::from_ptr(optarg));
                    options.push((letter as u8, value.map(|v| v.to_bytes().to_vec())));
                }
            }
        }
        for word in &words[optind as usize..argc as usize] {
            operands.push(CStr::from_ptr(*word).to_bytes().to_vec());
        }
        for word in &words[..argc as usize] {
            drop(CString::from_raw(*word));
        }
    }
    (options, operands)
}

#[test]
fn walks_as_glibc_walks() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..20_000 {
        let length = random(6);
        let args: Vec<OsString> = (0..length)
            .map(|_| WORDS[random(WORDS.len())].into())
            .collect();
        assert_eq!(ours(&args), theirs(&args), "{args:?}");
    }
}
