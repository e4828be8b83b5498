<?php
// Files that only PHP lets through.
header('Content-Type: application/octet-stream');
header('Content-Disposition: attachment; filename="report.bin"');
header('X-Accel-Redirect: /protected/' . rawurlencode($_GET['file']));
