//! Where the queues are: a namespace or the kernel. The only user of the library's namespaces.

use crate::failure::Failure;
use crate::sys;
use std::ffi::{CString, OsStr, OsString};
use std::io::{Read, Write};
use usysv::abi::MsqidDs;
use usysv::{Backend, Errno, Kernel};

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
    backend: Box<dyn Backend>,
    name: String,
    /// How the user calls a command on this world again.
    command: String,
    kernel: bool,
}

/// A queue's id and status.
pub type Listed = (i32, MsqidDs);

impl World {
    /// Opens what was chosen; a namespace is made when it is missing.
    pub fn open(choice: &Choice) -> Result<World, Failure> {
        match choice {
            Choice::Kernel => Ok(World {
                backend: Box::new(Kernel),
                name: "the kernel".to_owned(),
                command: "usysv --kernel".to_owned(),
                kernel: true,
            }),
            Choice::Namespace(name) => Err(not_wired(name.as_deref())),
        }
    }

    /// The calls.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Whether this is the kernel.
    pub fn is_kernel(&self) -> bool {
        self.kernel
    }

    /// For messages: `the kernel`, or `namespace PATH`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For hints: `usysv` with the options that choose this world.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Every queue by index, also those that we may not read.
    pub fn queues(&self) -> usysv::Result<Vec<Listed>> {
        self.listed(true)
    }

    /// Every queue by index that we may read.
    pub fn readable_queues(&self) -> usysv::Result<Vec<Listed>> {
        self.listed(false)
    }

    fn listed(&self, any: bool) -> usysv::Result<Vec<Listed>> {
        let (_, highest) = self.backend.msg_usage()?;
        let mut all = Vec::new();
        for index in 0..=highest {
            match self.backend.msg_stat_index(index, any) {
                Ok(listed) => all.push(listed),
                // No queue there, one that was just removed, or one that we may not read.
                Err(Errno::EINVAL | Errno::EIDRM | Errno::EACCES) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// Whether this is the kernel and it has objects of a kind that we do not handle yet.
    pub fn kernel_has(&self, kind: &str) -> bool {
        self.kernel && kernel_table(kind).is_ok_and(|table| table.lines().count() > 1)
    }

    /// Sets one limit: `msgmni`, `msgmax` or `msgmnb`.
    pub fn set_limit(&self, name: &str, value: u64) -> Result<(), Failure> {
        let path = format!("/proc/sys/kernel/{name}");
        sys::open_kernel_file(&path, libc::O_WRONLY)
            .and_then(|mut file| file.write_all(value.to_string().as_bytes()))
            .map_err(|e| Failure::io(&path, &e))
    }
}

fn kernel_table(kind: &str) -> std::io::Result<String> {
    let mut table = String::new();
    let path = format!("/proc/sysvipc/{kind}");
    sys::open_kernel_file(&path, libc::O_RDONLY)?.read_to_string(&mut table)?;
    Ok(table)
}

/// The absolute path of the chosen namespace, for a program's environment; made when missing.
pub fn namespace_path(choice: Option<OsString>) -> Result<CString, Failure> {
    match choice {
        Some(path) => Ok(CString::new(path.into_encoded_bytes()).unwrap_or_default()),
        None => Err(not_wired(None)),
    }
}

/// A namespace of one's own, which goes away when this is destroyed.
pub struct Private(std::path::PathBuf);

impl Private {
    /// Makes one.
    pub fn create() -> Result<Private, Failure> {
        let path = std::env::temp_dir().join(format!("usysv-private-{}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        let made = std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700).create(&path);
        made.map_err(|e| Failure::io(path.display(), &e))?;
        Ok(Private(path))
    }

    /// Its absolute path.
    pub fn path(&self) -> CString {
        CString::new(self.0.as_os_str().as_encoded_bytes()).unwrap_or_default()
    }

    /// What is in it.
    pub fn queues(&self) -> Result<Vec<Listed>, Failure> {
        Ok(Vec::new())
    }

    /// Removes it and everything in it.
    pub fn destroy(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.0).map_err(|e| Failure::io(self.0.display(), &e))
    }
}

fn not_wired(name: Option<&OsStr>) -> Failure {
    let name = name.unwrap_or(OsStr::new("the default")).display();
    Failure::new(format!(
        "namespace {name}: not yet in this build; --kernel selects the kernel's queues"
    ))
}
