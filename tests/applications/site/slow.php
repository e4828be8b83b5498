<?php
// Says that it runs, and goes on until it is told to stop or its client has gone.
ignore_user_abort(false);
touch(__DIR__ . '/../running');
for ($at = 0; $at < 4000 && !file_exists(__DIR__ . '/../stop'); $at++) {
    echo str_repeat('x', 100), "\n";
    flush();
    usleep(5000);
    clearstatcache();
}
