//! The three names for which the uWebSockets.js binary asks for glibc 2.38.
//!
//! They are C23's spelling of old functions; nothing else in the binary is newer than what Debian 12 has. On glibc
//! before 2.38 src/accept/uws.ts loads this door first, with RTLD_GLOBAL, and a copy of the binary whose version
//! requirement is weak: the dynamic linker then finds the names here. The only difference between the C23 and the
//! older functions is that the newer read `0b` prefixes in base 0 and 2.

use std::ffi::{c_char, c_int, c_long, c_ulong};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod names {
    use super::{c_char, c_int, c_long, c_ulong};

    /// Variadic, so its arguments must be left where they are: a jump, not a call.
    #[unsafe(no_mangle)]
    #[unsafe(naked)]
    pub unsafe extern "C" fn __isoc23_sscanf() {
        #[cfg(target_arch = "x86_64")]
        core::arch::naked_asm!("jmp sscanf@PLT");
        #[cfg(target_arch = "aarch64")]
        core::arch::naked_asm!("b sscanf");
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn __isoc23_strtol(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long {
        // SAFETY: the caller's own contract, passed on unchanged.
        unsafe { libc::strtol(text, end, base) }
    }

    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn __isoc23_strtoul(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong {
        // SAFETY: the caller's own contract, passed on unchanged.
        unsafe { libc::strtoul(text, end, base) }
    }
}
