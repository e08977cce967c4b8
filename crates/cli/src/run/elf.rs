//! As much of an executable's header as tells whether a preload reaches it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What an ELF file is for and who loads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf {
    /// 1 for 32 bits, 2 for 64.
    class: u8,
    /// 1 for little endian, 2 for big.
    data: u8,
    machine: u16,
    /// The dynamic loader's path (`PT_INTERP`).
    pub interpreter: Option<Vec<u8>>,
}

/// What a file that may be executed is.
pub enum Kind {
    /// A program.
    Elf(Elf),
    /// A script, with the interpreter of its first line.
    Script(Vec<u8>),
    /// Something else: the kernel, or the shell, will know.
    Other,
}

/// Most bytes that the kernel reads of a script's first line (`BINPRM_BUF_SIZE`).
const FIRST_LINE: usize = 256;
const PT_INTERP: u32 = 3;

/// Looks into a file.
pub fn kind(path: &Path) -> io::Result<Kind> {
    let file = File::open(path)?;
    let mut head = [0; FIRST_LINE];
    let length = read_up_to(&file, &mut head, 0)?;
    let head = &head[..length];
    if let Some(line) = head.strip_prefix(b"#!") {
        return Ok(interpreter(line).map_or(Kind::Other, Kind::Script));
    }
    Ok(header(&file, head).map_or(Kind::Other, Kind::Elf))
}

impl Elf {
    /// Whether a library with this header can be loaded into the program.
    pub fn same_machine(&self, library: &Elf) -> bool {
        (self.class, self.data, self.machine) == (library.class, library.data, library.machine)
    }

    /// For messages: `64-bit ELF machine 62`.
    pub fn describe(&self) -> String {
        let bits = if self.class == 1 { 32 } else { 64 };
        let machine = match self.machine {
            3 => "x86",
            40 => "ARM",
            62 => "x86-64",
            183 => "AArch64",
            243 => "RISC-V",
            other => return format!("{bits}-bit, ELF machine {other}"),
        };
        format!("{bits}-bit {machine}")
    }
}

/// The first word after `#!`.
fn interpreter(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.split(|&b| b == b'\n').next()?;
    let mut words = line.split(|b| b" \t".contains(b));
    words.find(|word| !word.is_empty()).map(<[u8]>::to_vec)
}

fn header(file: &File, head: &[u8]) -> Option<Elf> {
    let [0x7f, b'E', b'L', b'F', class, data, ..] = *head else {
        return None;
    };
    let fields = Fields {
        wide: class == 2,
        little: data == 1,
    };
    let mut elf = Elf {
        class,
        data,
        machine: fields.u16(head, 18)?,
        interpreter: None,
    };
    let (offset, size, count) = if fields.wide {
        (
            fields.word(head, 32)?,
            fields.u16(head, 54)?,
            fields.u16(head, 56)?,
        )
    } else {
        (
            fields.word(head, 28)?,
            fields.u16(head, 42)?,
            fields.u16(head, 44)?,
        )
    };
    for number in 0..u64::from(count) {
        let mut entry = [0; 56];
        let at = offset.checked_add(number * u64::from(size))?;
        let length = read_up_to(file, &mut entry, at).ok()?;
        let entry = &entry[..length];
        if fields.u32(entry, 0)? == PT_INTERP {
            let (start, bytes) = if fields.wide {
                (fields.word(entry, 8)?, fields.word(entry, 32)?)
            } else {
                (fields.word(entry, 4)?, fields.word(entry, 16)?)
            };
            let mut path = vec![0; bytes.min(libc::PATH_MAX as u64) as usize];
            let length = read_up_to(file, &mut path, start).ok()?;
            path.truncate(length);
            path.retain(|&b| b != 0);
            elf.interpreter = Some(path);
            break;
        }
    }
    Some(elf)
}

/// Reads numbers in the file's own width and byte order.
struct Fields {
    wide: bool,
    little: bool,
}

impl Fields {
    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(match self.little {
            true => u16::from_le_bytes(field),
            false => u16::from_be_bytes(field),
        })
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(match self.little {
            true => u32::from_le_bytes(field),
            false => u32::from_be_bytes(field),
        })
    }

    /// An address or offset: 32 or 64 bits.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.wide {
            return self.u32(bytes, at).map(u64::from);
        }
        let field = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(match self.little {
            true => u64::from_le_bytes(field),
            false => u64::from_be_bytes(field),
        })
    }
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}
