//! Modules that change responses.

use weir_conf::pending;

pending! {
    /// Filters of heads and bodies.
    pub static FILTERS = {
        // image
        "image_filter_jpeg_quality" in [http, server, location] [1];
        "image_filter_webp_quality" in [http, server, location] [1];
        "image_filter_sharpen" in [http, server, location] [1];
        "image_filter_transparency" in [http, server, location] [1];
        "image_filter_interlace" in [http, server, location] [1];
        "image_filter_buffer" in [http, server, location] [1];
        // xslt
        "xml_entities" in [http, server, location] [1];
        "xml_external_entities" in [http, server, location] [1];
        "xslt_stylesheet" in [location] [1+];
        "xslt_param" in [http, server, location] [2];
        "xslt_string_param" in [http, server, location] [2];
        "xslt_types" in [http, server, location] [1+];
        "xslt_last_modified" in [http, server, location] [1];
    }
}
