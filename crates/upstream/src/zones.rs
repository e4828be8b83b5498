//! Names of zones. nginx's processes share state in zones of shared memory; threads need no such
//! memory, but the names and sizes are part of the language.

use weir_conf::{Cx, Diagnostic, Fault, Severity, Span};

/// The smallest size of a zone: eight pages.
pub const MIN_ZONE: u64 = 8 * 4096;

/// All zones of a configuration, in order. A registry of the assembly.
#[derive(Debug, Default)]
pub struct Zones(Vec<Zone>);

#[derive(Debug)]
struct Zone {
    name: Vec<u8>,
    size: u64,
    usage: &'static str,
    place: Span,
}

impl Zones {
    /// Declares a zone, or refers to one with size 0. `usage` separates the zones of different
    /// modules.
    ///
    /// # Errors
    /// A name that has another use or another size.
    pub fn add(
        &mut self,
        name: &[u8],
        size: u64,
        usage: &'static str,
        place: Span,
    ) -> Result<(), Fault> {
        let Some(known) = self.0.iter_mut().find(|zone| zone.name == name) else {
            self.0.push(Zone { name: name.to_vec(), size, usage, place });
            return Ok(());
        };
        let name = String::from_utf8_lossy(name);
        if known.usage != usage {
            return Err(Fault::new(format!(
                "the shared memory zone \"{name}\" is already declared for a different use"
            )));
        }
        if known.size == 0 {
            known.size = size;
        }
        if size != 0 && size != known.size {
            return Err(Fault::new(format!(
                "the size {size} of shared memory zone \"{name}\" conflicts with already \
                 declared size {}",
                known.size
            )));
        }
        Ok(())
    }

    /// As [`add`](Self::add), at the directive being read.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn declare(
        cx: &mut Cx<'_>,
        name: &[u8],
        size: u64,
        usage: &'static str,
    ) -> Result<(), Fault> {
        let place = cx.span();
        cx.registry::<Self>().add(name, size, usage, place)
    }

    /// The faults of zones without a size, once the configuration is complete.
    pub fn unsized_zones(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        let unsized_zone = self.0.iter().filter(|zone| zone.size == 0);
        unsized_zone.map(|zone| {
            let name = String::from_utf8_lossy(&zone.name);
            let message = format!("zero size shared memory zone \"{name}\"");
            let mut diagnostic = Diagnostic::new(Severity::Emerg, message, None);
            diagnostic.word = Some(zone.place);
            diagnostic
        })
    }
}
