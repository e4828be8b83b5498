<?php
// A large response; md5 of the number of each line.
for ($at = 0; $at < ($_GET['lines'] ?? 100000); $at++) {
    echo md5($at), "\n";
}
