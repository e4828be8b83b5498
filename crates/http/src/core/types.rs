//! `types`: media types by file extension.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use weir_conf::{Contexts, Cx, Fault, Inherit, Node, Slot, directives};
use weir_script::names::NameHasher;

/// Media types by file extension.
pub(crate) static TYPES: Slot<MimeTypes> = Slot::new();

directives! {
    /// Media types by file extension.
    pub struct MimeTypes as TypesWritten in [http, server, location] {
        /// Media types, each with its file extensions.
        "types" block [0]: "{ type ending ...; }" => add_types,
        /// The media type of files with an unknown extension.
        "default_type" => default_type: String = "text/plain".to_owned(),
        /// The size of nginx's hash table. Has no effect: tables grow as needed.
        "types_hash_max_size" => types_hash_max_size: u32 = 1024,
        /// The bucket size of nginx's hash table. Has no effect: tables have no such limit.
        "types_hash_bucket_size" => types_hash_bucket_size: u32 = 64,
        field types: Inherit<Types>,
    }
    finish = MimeTypes::finish;
}

/// Refuses hash table sizes that nginx cannot use. Tables here grow as needed.
pub(crate) fn table_sizes(table: &str, max: u32, bucket: u32) -> Result<(), Fault> {
    for (what, size) in [("max_size", max), ("bucket_size", bucket)] {
        if size == 0 {
            return Err(Fault::new(format!(
                "could not build {table}_hash, you should increase {table}_hash_{what}: 0"
            ))
            .nowhere());
        }
    }
    Ok(())
}

/// Media types by file extension.
#[derive(Clone, Debug)]
pub(crate) struct Types(HashMap<Box<[u8]>, Arc<[u8]>, BuildHasherDefault<NameHasher>>);

impl Default for Types {
    fn default() -> Self {
        let known = [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")];
        let row =
            |(ending, media): (&str, &str)| (ending.as_bytes().into(), media.as_bytes().into());
        Self(known.into_iter().map(row).collect())
    }
}

impl Types {
    /// The media type of an extension in lower case.
    pub(crate) fn find(&self, ending: &[u8]) -> Option<&[u8]> {
        self.0.get(ending).map(|media| &**media)
    }
}

impl MimeTypes {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        match cx.context() == Contexts::SERVER {
            true => table_sizes("types", self.types_hash_max_size, self.types_hash_bucket_size),
            false => Ok(()),
        }
    }

    /// The media type of a file extension, which may be empty.
    pub(crate) fn media_type(&self, ending: &[u8]) -> &[u8] {
        let found = if ending.iter().any(u8::is_ascii_uppercase) {
            self.types.find(&ending.to_ascii_lowercase())
        } else {
            self.types.find(ending)
        };
        found.unwrap_or(self.default_type.as_bytes())
    }
}

fn add_types(own: &mut TypesWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let Types(types) = own.types.get_or_insert_with(|| Types(HashMap::default()));
    for row in node.block.iter().flatten() {
        cx.row(row);
        let media: Arc<[u8]> = row.name.value.as_slice().into();
        for word in &row.args {
            let ending = word.value.to_ascii_lowercase().into_boxed_slice();
            if let Some(old) = types.insert(ending.clone(), Arc::clone(&media)) {
                cx.warn(format!(
                    "duplicate extension \"{}\", content type: \"{}\", \
                     previous content type: \"{}\"",
                    String::from_utf8_lossy(&ending),
                    String::from_utf8_lossy(&media),
                    String::from_utf8_lossy(&old),
                ));
            }
        }
    }
    cx.rows_done(node);
    Ok(())
}
