<?php
// A response in parts: each waits for a file.
header('Content-Type: text/plain');
header('X-Accel-Buffering: no');
foreach (['one', 'two', 'three'] as $at => $part) {
    echo $part, "\n";
    flush();
    while ($at < 2 && !file_exists(__DIR__ . "/../go-$at")) {
        usleep(5000);
        clearstatcache();
    }
}
