package service_test

import _ "pgregory.net/rapid"
