import java.nio.file.*;
import java.util.*;
import java.util.stream.*;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.*;

/** usage: java -Des.modules=DIR -cp ... EsNode HTTP_PORT DATA_DIR [key=value ...] ; DIR/<name>/{*.jar,plugin-descriptor.properties} */
public class EsNode {
    public static void main(String[] a) throws Exception {
        int port = Integer.parseInt(a[0]);
        Path home = Paths.get(a[1]).toAbsolutePath();
        Files.createDirectories(home.resolve("config")); Files.createDirectories(home.resolve("plugins"));
        Settings.Builder s = Settings.builder()
            .put("path.home", home.toString()).put("path.data", home.resolve("data").toString()).put("path.logs", home.resolve("logs").toString())
            .put("cluster.name", "tidemill-test").put("node.name", "n1")
            .put("network.host", "127.0.0.1").put("http.port", port).put("transport.port", port + 100)
            .put("http.type", "netty4").put("transport.type", "netty4")
            .put("discovery.type", "single-node")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("action.destructive_requires_name", false);
        for (int i = 2; i < a.length; i++) { int q = a[i].indexOf('='); s.put(a[i].substring(0, q), a[i].substring(q + 1)); }
        org.elasticsearch.common.logging.LogConfigurator.configureESLogging();
        Environment env = new Environment(s.build(), home.resolve("config"));
        Set<PluginBundle> mods = PluginsLoader.loadModulesBundles(Paths.get(System.getProperty("es.modules")).toAbsolutePath());
        PluginsLoader pl = PluginsLoader.createPluginsLoader(mods, Set.of(), Map.of(), false);
        Node n = new Node(env, pl);
        n.start();
        System.out.println("READY http://127.0.0.1:" + port);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { try { n.close(); } catch (Exception e) { } }));
        Thread.currentThread().join();
    }
}
