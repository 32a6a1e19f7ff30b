"""A real S3 server on this computer to publish to, for practice; gone when the kernel is.

It is SeaweedFS, in one process: buckets, keys, policies, CORS and multipart uploads are those of
S3. Everything in it is temporary. Buckets are made, filled and opened to others with s3fs and
botocore, as at any provider.

===============  ==============================================================
``server``       `practice_server`: starts it, asks whether it is up, ends it
``seaweedfs``    where its program is, and how it is called
``watch``        a small process that ends it with the kernel, however that ends
``environment``  the key, in the variables where all S3 programs look
===============  ==============================================================
"""

from .server import PracticeServer as PracticeServer
from .server import practice_server as practice_server
