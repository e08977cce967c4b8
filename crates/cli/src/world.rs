//! Where the objects are: a namespace or the kernel. The only user of the library's namespaces.

use crate::failure::Failure;
use crate::sys;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{Read, Write};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use usysv::abi::{MsqidDs, SemidDs, ShmidDs};
use usysv::{Backend, Engine, Errno, Fault, Kernel, Namespace};

/// What the user chose.
#[derive(Clone, Debug)]
pub enum Choice {
    /// `--kernel`
    Kernel,
    /// `--ns NAME|PATH`, or neither: `$USYSV_NS`, else the default.
    Namespace(Option<OsString>),
}

/// An open namespace, or the kernel.
pub struct World {
    backend: Side,
    name: String,
    /// How the user calls a command on this world again.
    command: String,
    /// The namespace's path; the kernel has none.
    path: Option<CString>,
}

enum Side {
    Kernel(Kernel),
    Engine(Box<Engine>),
}

impl Deref for Side {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        match self {
            Side::Kernel(kernel) => kernel,
            Side::Engine(engine) => &**engine,
        }
    }
}

/// An object's id and status.
pub type Listed<T> = (i32, T);

/// Which objects a list has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Also those that we may not read.
    All,
    /// Those that we may read.
    Readable,
}

impl World {
    /// Opens what was chosen; a namespace is made when it is missing.
    pub fn open(choice: &Choice) -> Result<World, Failure> {
        match choice {
            Choice::Kernel => Ok(World {
                backend: Side::Kernel(Kernel),
                name: "the kernel".to_owned(),
                command: "usysv --kernel".to_owned(),
                path: None,
            }),
            Choice::Namespace(None) => World::on(select(None)?, "usysv".to_owned()),
            Choice::Namespace(Some(name)) => {
                let command = format!("usysv --ns {}", name.display());
                World::on(select(Some(name))?, command)
            }
        }
    }

    fn on(namespace: Namespace, command: String) -> Result<World, Failure> {
        let path = namespace.path().to_owned();
        let name = format!("namespace {}", path.to_string_lossy());
        let engine = Engine::new(namespace).map_err(|fault| explain(&name, &fault))?;
        Ok(World {
            backend: Side::Engine(Box::new(engine)),
            name,
            command,
            path: Some(path),
        })
    }

    /// The calls.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// What only a namespace can be asked; the kernel has none.
    pub fn engine(&self) -> Option<&Engine> {
        match &self.backend {
            Side::Kernel(_) => None,
            Side::Engine(engine) => Some(engine),
        }
    }

    /// Whether this is the kernel.
    pub fn is_kernel(&self) -> bool {
        self.path.is_none()
    }

    /// For messages: `the kernel`, or `namespace PATH`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For hints: `usysv` with the options that choose this world.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The message queues, by index.
    pub fn queues(&self, which: Which) -> usysv::Result<Vec<Listed<MsqidDs>>> {
        let (_, highest) = self.backend.msg_usage()?;
        let stat = |index| self.backend.msg_stat_index(index, which == Which::All);
        listed(highest, stat)
    }

    /// The semaphore sets, by index.
    pub fn sets(&self, which: Which) -> usysv::Result<Vec<Listed<SemidDs>>> {
        let (_, highest) = self.backend.sem_usage()?;
        let stat = |index| self.backend.sem_stat_index(index, which == Which::All);
        listed(highest, stat)
    }

    /// The shared memory segments, by index.
    pub fn segments(&self, which: Which) -> usysv::Result<Vec<Listed<ShmidDs>>> {
        let (_, highest) = self.backend.shm_usage()?;
        let stat = |index| self.backend.shm_stat_index(index, which == Which::All);
        listed(highest, stat)
    }

    /// Sets one limit by its name, such as `msgmax` or `semopm`.
    pub fn set_limit(&self, name: &str, value: u64) -> Result<(), Failure> {
        let Some(path) = &self.path else {
            return set_kernel_limit(name, value);
        };
        let namespace = Namespace::open(path).map_err(|fault| explain(&self.name, &fault))?;
        let set = namespace.set_limit(name, value);
        set.map_err(|errno| match errno {
            Errno::EACCES => Failure::new(format!(
                "only the owner of {} may set its limits",
                self.name
            )),
            _ => Failure::new(format!("{}: {errno}", self.name)),
        })
    }
}

/// Asks every index for its object.
fn listed<T>(
    highest: i32,
    stat: impl Fn(i32) -> usysv::Result<Listed<T>>,
) -> usysv::Result<Vec<Listed<T>>> {
    let mut all = Vec::new();
    for index in 0..=highest {
        match stat(index) {
            Ok(listed) => all.push(listed),
            // Nothing there, what was just removed, or what we may not read.
            Err(Errno::EINVAL | Errno::EIDRM | Errno::EACCES) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// The limits of semaphores share a file, in this order.
const KERNEL_SEM: [&str; 4] = ["semmsl", "semmns", "semopm", "semmni"];

fn set_kernel_limit(name: &str, value: u64) -> Result<(), Failure> {
    let place = KERNEL_SEM.iter().position(|limit| *limit == name);
    let path = match place {
        Some(_) => "/proc/sys/kernel/sem".to_owned(),
        None => format!("/proc/sys/kernel/{name}"),
    };
    let text = match place {
        Some(place) => kernel_text(&path).map(|old| with_number(&old, place, value)),
        None => Ok(value.to_string()),
    };
    text.and_then(|text| sys::open_kernel_file(&path, libc::O_WRONLY)?.write_all(text.as_bytes()))
        .map_err(|e| Failure::io(&path, &e))
}

/// A line of numbers with another one in this place.
fn with_number(line: &str, place: usize, value: u64) -> String {
    let numbers = line.split_whitespace().enumerate();
    let numbers = numbers.map(|(i, old)| match i == place {
        true => value.to_string(),
        false => old.to_owned(),
    });
    numbers.collect::<Vec<_>>().join("\t")
}

fn kernel_text(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    sys::open_kernel_file(path, libc::O_RDONLY)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The absolute path of the chosen namespace, for a program's environment; made when missing.
pub fn namespace_path(choice: Option<OsString>) -> Result<CString, Failure> {
    select(choice.as_deref()).map(|namespace| namespace.path().to_owned())
}

fn select(choice: Option<&OsStr>) -> Result<Namespace, Failure> {
    let name = match choice {
        Some(name) => format!("namespace {}", name.display()),
        None => match std::env::var_os("USYSV_NS").filter(|value| !value.is_empty()) {
            Some(value) => format!("namespace {} ($USYSV_NS)", value.display()),
            None => "the default namespace".to_owned(),
        },
    };
    let choice = choice.map(|name| CString::new(name.as_bytes()).unwrap_or_default());
    Namespace::select(choice.as_deref()).map_err(|fault| explain(&name, &fault))
}

fn explain(name: &str, fault: &Fault) -> Failure {
    Failure::new(format!("{name}: {fault}"))
}

/// A namespace of one's own, which goes away when this is destroyed.
pub struct Private(Namespace);

impl Private {
    /// Makes one where namespaces are made.
    pub fn create() -> Result<Private, Failure> {
        let made = Namespace::create_private(None);
        let made = made.map_err(|fault| explain("a private namespace", &fault));
        made.map(Private)
    }

    /// Its absolute path.
    pub fn path(&self) -> &CStr {
        self.0.path()
    }

    /// A look at what is in it.
    pub fn world(&self) -> Result<World, Failure> {
        let name = format!("namespace {}", self.path().to_string_lossy());
        let again = Namespace::open(self.path()).map_err(|fault| explain(&name, &fault))?;
        World::on(again, "usysv".to_owned())
    }

    /// Removes it and everything in it.
    pub fn destroy(self) -> Result<(), Failure> {
        let name = format!("namespace {}", self.path().to_string_lossy());
        self.0.destroy().map_err(|fault| explain(&name, &fault))
    }
}
