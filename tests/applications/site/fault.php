<?php
// Messages, and an uncaught exception.
error_log('first');
error_log('second');
if (isset($_GET['fatal'])) {
    throw new Exception('the reason');
}
echo 'survived';
