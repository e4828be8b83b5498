//! What is known of statuses (RFC 9110 section 15).

/// Whether a response with this status may be kept without saying so (RFC 9110 section 15.1).
pub(super) fn is_kept_unsaid(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether the cache knows what the status asks of it (`must-understand`, RFC 9111 section
/// 5.2.2.3).
pub(super) fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=206 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 |
        500..=505 | 511
    )
}
